// Behaviour of all pages. Every page works without it; listeners stand on the document, so what htmx swaps in
// needs no set-up.

const root = document.documentElement;
root.classList.add("scripted");

// Theme: as the system has it, or as chosen.
function applyTheme() {
	const chosen = localStorage.getItem("theme");
	if (chosen) root.dataset.theme = chosen;
	else delete root.dataset.theme;
}
applyTheme();

function dark() {
	return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Menus: one at a time, closed by Escape and by a click elsewhere; what was chosen is sent when one closes.
const changed = new WeakSet();
document.addEventListener("change", (e) => {
	const menu = e.target.closest(".menu");
	if (menu) changed.add(menu);
});
document.addEventListener("toggle", (e) => {
	const menu = e.target;
	if (!menu.matches?.(".menu")) return;
	if (menu.open) {
		for (const other of document.querySelectorAll(".menu[open]")) if (other !== menu) other.open = false;
	} else if (changed.delete(menu)) {
		menu.closest("form")?.requestSubmit();
	}
}, true);
document.addEventListener("click", (e) => {
	for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(e.target)) menu.open = false;
	const copy = e.target.closest("[data-copy], [data-copy-text]");
	if (copy) {
		e.preventDefault();
		const text = copy.dataset.copyText ? document.querySelector(copy.dataset.copyText).textContent : new URL(copy.dataset.copy, location.href).href;
		navigator.clipboard.writeText(text).then(() => {
			const label = copy.getAttribute("aria-label");
			copy.setAttribute("aria-label", "Copied");
			copy.title = "Copied";
			setTimeout(() => { copy.setAttribute("aria-label", label); copy.title = label; }, 2000);
		});
	}
	if (e.target.closest("[data-theme-switch]")) {
		localStorage.setItem("theme", dark() ? "light" : "dark");
		applyTheme();
	}
	const note = e.target.closest("[data-note-on]");
	if (note) {
		e.preventDefault();
		chooseLine(note.closest(".line"));
		focusOn("#note-text");
	}
	const hits = e.target.closest("[data-hit]");
	if (hits) goToHit(Number(hits.dataset.hit));
	if (e.target.closest("[data-help]")) document.getElementById("help")?.showModal();
	// One switch between the views of a transcript, without loading it again.
	const view = e.target.closest("[data-view-link]");
	if (view && !e.ctrlKey && !e.metaKey) {
		e.preventDefault();
		setView(view.dataset.viewLink);
	}
});

// What was wrong with what somebody typed is told where they typed it.
document.addEventListener("htmx:responseError", (e) => {
	const bar = document.querySelector(".bar");
	if (!bar || !bar.contains(e.target)) return;
	const answer = new DOMParser().parseFromString(e.detail.xhr.responseText, "text/html");
	let note = document.getElementById("mistake");
	if (!note) {
		note = document.createElement("p");
		note.id = "mistake";
		note.className = "note bad";
		note.setAttribute("role", "alert");
	}
	const apply = bar.querySelector("details[open] .apply");
	if (apply) apply.before(note);
	else bar.after(note);
	note.textContent = answer.querySelector(".empty p")?.textContent || "That did not work; the server's log says why.";
});

// An act that fails says so beside what was typed, which stays; an ended session leads back to it.
function actFailed(from, words, link) {
	const form = from?.closest?.("form") ?? from;
	if (!form || document.querySelector(".bar")?.contains(form)) return;
	let note = form.querySelector(":scope > .act-failed");
	if (!note) {
		note = document.createElement("p");
		note.className = "note bad act-failed";
		note.setAttribute("role", "alert");
		form.append(note);
	}
	const text = document.createElement("span");
	text.textContent = words + " ";
	note.replaceChildren(text);
	if (link) {
		const a = document.createElement("a");
		a.href = "/login?ended=yes&next=" + encodeURIComponent(location.pathname + location.search);
		a.target = "_blank";
		a.textContent = "Sign in in a new tab";
		text.append(a, ", then try again here.");
	}
}
const acts = (e) => e.detail.requestConfig?.verb && e.detail.requestConfig.verb !== "get" || e.target.closest?.("form[hx-post], form[method='post']");
document.addEventListener("htmx:responseError", (e) => {
	if (!acts(e)) return;
	const status = e.detail.xhr.status;
	if (status === 401) actFailed(e.target, "Your session has ended, so nothing was saved. What you typed is still here.", true);
	else if (status === 403) actFailed(e.target, "You may not do that. Nothing was saved.");
	else if (status < 500) actFailed(e.target, new DOMParser().parseFromString(e.detail.xhr.responseText, "text/html").querySelector(".empty p, [role='alert']")?.textContent || "That was refused. Nothing was saved.");
	else actFailed(e.target, "The server could not save this. What you typed is still here; try again in a moment.");
});
for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, (e) => {
	if (acts(e)) actFailed(e.target, "The server cannot be reached, so nothing was saved. What you typed is still here; try again in a moment.");
});
document.addEventListener("htmx:beforeRequest", (e) => e.target.closest?.("form")?.querySelector(":scope > .act-failed")?.remove());

// On a narrow screen the current page's place in the navigation is scrolled into sight.
function showCurrent() {
	for (const a of document.querySelectorAll('nav [aria-current="page"]')) {
		for (let at = a.parentElement; at?.closest("nav"); at = at.parentElement) {
			if (at.scrollWidth > at.clientWidth) at.scrollLeft += a.getBoundingClientRect().left - at.getBoundingClientRect().left - (at.clientWidth - a.offsetWidth) / 2;
		}
	}
}
document.addEventListener("DOMContentLoaded", showCurrent);
window.addEventListener("resize", showCurrent);

document.addEventListener("submit", (e) => {
	const question = e.submitter?.dataset.confirm ?? e.target.dataset?.confirm;
	if (question && !confirm(question)) e.preventDefault();
	if (e.target.matches?.(".bar")) document.getElementById("find")?.blur(); // what was found is walked by keys
	if (e.target.closest?.("#work")) document.activeElement?.blur(); // htmx would give it back to the new field
});

function setView(view) {
	const talk = document.querySelector("[data-view]");
	if (!talk) return;
	talk.dataset.view = view;
	for (const a of document.querySelectorAll("[data-view-link]")) {
		if (a.dataset.viewLink === view) a.setAttribute("aria-current", "true");
		else a.removeAttribute("aria-current");
	}
	const url = new URL(location.href);
	url.searchParams.set("view", view);
	history.replaceState(history.state, "", url);
	for (const more of document.querySelectorAll("[data-more]")) {
		for (const name of ["href", "hx-get"]) {
			const to = new URL(more.getAttribute(name), location.href);
			to.searchParams.set("view", view);
			more.setAttribute(name, to.pathname + to.search);
		}
	}
}

// The message under the keyboard: what is marked, and what a note is about.
function moveLine(step) {
	const lines = [...document.querySelectorAll(".talk .line[id]")];
	if (lines.length === 0) return;
	const at = lines.findIndex((l) => l.classList.contains("cursor"));
	if (at === lines.length - 1 && step > 0) document.querySelector("[data-more='after']")?.click();
	chooseLine(lines[Math.max(0, Math.min(lines.length - 1, at + step))]);
}
function chooseLine(line) {
	for (const l of document.querySelectorAll(".line.cursor")) l.classList.remove("cursor");
	line.classList.add("cursor");
	line.scrollIntoView({ block: "nearest" });
	aboutMessage(line.id.slice(2), line.querySelector("time")?.textContent || "");
}
function aboutMessage(id, time) {
	const field = document.querySelector("[data-note-message]"), about = document.querySelector("[data-note-about]");
	if (!field || !about) return;
	field.value = id;
	about.classList.remove("gone");
	about.querySelector("input").checked = true;
	about.querySelector("span").textContent = `about the message of ${time}`;
}

function focusOn(selector) {
	const field = document.querySelector(selector);
	if (!field) return;
	field.focus();
	field.scrollIntoView({ block: "nearest" });
}

// Hits of a search: from one to the next, loading what lies beyond.
let hit = -1;
function goToHit(step) {
	const hits = [...document.querySelectorAll(".talk mark.hit")];
	document.querySelector("mark.hit.now")?.classList.remove("now");
	if (hits.length === 0) return;
	hit += step;
	if (hit >= hits.length) {
		document.querySelector("[data-more='after']")?.click();
		hit = hits.length - 1;
	}
	hit = Math.max(0, hit);
	hits[hit].classList.add("now");
	hits[hit].scrollIntoView({ block: "center" });
}

// Keys.
function move(step) {
	if (document.querySelector(".talk")) return moveLine(step);
	const rows = [...document.querySelectorAll("tbody tr[data-row]")];
	if (rows.length === 0) return;
	const at = rows.findIndex((r) => r.classList.contains("cursor"));
	const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
	rows[at]?.classList.remove("cursor");
	next.classList.add("cursor");
	next.querySelector("a")?.focus({ preventScroll: true });
	next.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (e) => {
	if (e.key === "Escape") for (const menu of document.querySelectorAll(".menu[open]")) {
		menu.open = false;
		menu.querySelector("summary").focus();
	}
	if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
	const keyed = [...document.querySelectorAll("[data-key]")].find((x) => x.dataset.key.toLowerCase() === e.key.toLowerCase());
	if (keyed && !e.shiftKey) {
		e.preventDefault();
		if (keyed.dataset.focus !== "#note-text") keyed.click();
		if (keyed.dataset.focus) focusOn(keyed.dataset.focus);
		return;
	}
	switch (e.key) {
	case "f": {
		const menu = document.querySelector(".bar > .menu:not([open]) fieldset")?.closest("details");
		if (!menu) return;
		e.preventDefault();
		menu.open = true;
		menu.querySelector("input")?.focus();
		return;
	}
	case "j": move(1); break;
	case "k": move(-1); break;
	case "o": document.querySelector("tr.cursor input[name='c']")?.click(); break;
	case "g": document.querySelector(".line.cursor .tools button[value^='good']")?.click(); break;
	case "b": document.querySelector(".line.cursor .tools button[value^='bad']")?.click(); break;
	case "v": {
		const talk = document.querySelector("[data-view]");
		if (talk) setView(talk.dataset.view === "builder" ? "business" : "builder");
		break;
	}
	case "Backspace": document.querySelector("[data-back]")?.click(); break;
	case "/": {
		const field = document.getElementById("find");
		if (!field) return;
		field.focus();
		field.select();
		break;
	}
	case "?": document.getElementById("help")?.showModal(); break;
	default: return;
	}
	e.preventDefault();
});

// The linked message comes into view, also when it was loaded later; earlier messages that are loaded above
// leave what one reads where it is.
let above = null;
document.addEventListener("htmx:beforeSwap", (e) => {
	if (e.target.matches?.("[data-more='before']")) above = { height: root.scrollHeight, top: root.scrollTop };
});
document.addEventListener("htmx:afterSettle", () => {
	if (!above) return;
	root.scrollTop = above.top + root.scrollHeight - above.height;
	above = null;
});
document.addEventListener("DOMContentLoaded", () => document.querySelector(".linked")?.scrollIntoView({ block: "center" }));

// Links to other pages keep the range and the filters, also after these were changed in place.
document.addEventListener("htmx:afterSettle", () => {
	const bar = document.querySelector("[data-carry]");
	if (bar) for (const a of document.querySelectorAll("[data-carries]")) a.href = a.dataset.carries + bar.dataset.carry;
});

// Selected conversations.
document.addEventListener("change", (e) => {
	const form = e.target.closest("#selected");
	if (!form) return;
	if (e.target.matches("[data-pick-all]")) for (const box of form.querySelectorAll("input[name='c']")) box.checked = e.target.checked;
	const n = form.querySelectorAll("input[name='c']:checked").length, every = form.querySelector("[data-pick-every]");
	if (n === 0 && e.target !== every && every.checked) every.checked = false;
	form.querySelector("[data-picked]").textContent = every.checked ? "All" : n;
	form.classList.toggle("any", n > 0 || every.checked);
});

// Files that are read into a field.
document.addEventListener("change", async (e) => {
	const into = e.target.dataset?.readsInto && document.querySelector(e.target.dataset.readsInto);
	if (!into || e.target.files.length === 0) return;
	const texts = await Promise.all([...e.target.files].map((f) => f.text()));
	into.value = texts.map((x) => x.replace(/^\uFEFF?---[ \t]*\r?\n/, "")).join("\n"); // files may begin as documents of their own
});

// A field that narrows a list as one types.
document.addEventListener("input", (e) => {
	const list = e.target.dataset?.narrow;
	if (!list) return;
	const text = e.target.value.toLowerCase();
	for (const x of e.target.form.querySelectorAll(list)) x.hidden = !x.textContent.toLowerCase().includes(text);
});
document.addEventListener("keydown", (e) => {
	if (e.key === "Enter" && e.target.dataset?.narrow) {
		// What is left of the list and begins so is meant; else a new one is made.
		const left = [...e.target.form.querySelectorAll(e.target.dataset.narrow)].filter((x) => !x.hidden);
		if (left.length > 0 && left[0].textContent.trim().toLowerCase().startsWith(e.target.value.trim().toLowerCase()) && e.target.value.trim() !== "") {
			e.preventDefault();
			left[0].click();
		}
	}
	if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && e.target.matches("textarea")) {
		e.preventDefault();
		e.target.form.requestSubmit();
	}
	if (e.key === "Escape" && e.target.matches("input, textarea")) e.target.blur();
});

// The strip of volume: drag from one bar to another.
let dragged = null;
document.addEventListener("pointerdown", (e) => {
	const bar = e.target.closest?.("[data-strip] a");
	dragged = bar ? { from: bar, until: bar } : null;
	if (bar) e.preventDefault();
});
document.addEventListener("pointermove", (e) => {
	if (!dragged) return;
	const bar = document.elementFromPoint(e.clientX, e.clientY)?.closest("[data-strip] a");
	if (!bar) return;
	dragged.until = bar;
	const bars = [...bar.closest("[data-strip]").querySelectorAll("a")];
	const [a, b] = [bars.indexOf(dragged.from), bars.indexOf(bar)].sort((x, y) => x - y);
	bars.forEach((x, i) => x.classList.toggle("chosen", i >= a && i <= b));
});
document.addEventListener("pointerup", () => {
	if (!dragged) return;
	const { from, until } = dragged;
	dragged = null;
	if (from === until) return; // a click
	const bars = [...from.closest("[data-strip]").querySelectorAll("a")];
	const [a, b] = [from, until].sort((x, y) => bars.indexOf(x) - bars.indexOf(y));
	const to = new URL(from.getAttribute("href"), location.href); // of SVG, whose href is no text
	to.searchParams.delete("range");
	to.searchParams.set("from", a.dataset.from);
	to.searchParams.set("until", b.dataset.until);
	location.assign(to);
});
