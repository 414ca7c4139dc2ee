// Behaviour of all pages. Every page works without it; listeners stand on the document, so what htmx swaps in
// needs no set-up.

const root = document.documentElement;

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
	const copy = e.target.closest("[data-copy]");
	if (copy) {
		e.preventDefault();
		navigator.clipboard.writeText(new URL(copy.dataset.copy, location.href).href).then(() => {
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

document.addEventListener("submit", (e) => {
	const question = e.target.dataset?.confirm;
	if (question && !confirm(question)) e.preventDefault();
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

// Keys.
function move(step) {
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
		keyed.click();
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
	case "v": {
		const talk = document.querySelector("[data-view]");
		if (talk) setView(talk.dataset.view === "builder" ? "business" : "builder");
		break;
	}
	case "u": document.querySelector("[data-back]")?.click(); break;
	case "/": {
		const field = document.getElementById("find");
		if (!field) return;
		field.closest("details").open = true;
		field.focus();
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
