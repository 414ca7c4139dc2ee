// Draws the charts of a page and follows what is done to them. What a chart looks like, package charts says: its drawing holds an option of ECharts in
// which colours are names of tokens, and functions names of texts.

function option(drawing, token) {
	const texts = {
		"@tips": (all) => drawing.tips[(Array.isArray(all) ? all : [all])[0].dataIndex],
		"@tip": (p) => p.data.tip,
		"@text": (p) => p.data.text,
		"@labels": (_, i) => drawing.labels[i],
	};
	const words = new Set(["name", "text", "tip", "source", "target"]); // of people
	const whole = (v) => {
		if (typeof v === "string") return v.startsWith("--") ? token(v) : texts[v] ?? v;
		if (Array.isArray(v)) return v.map(whole);
		if (v === null || typeof v !== "object") return v;
		return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, words.has(k) ? x : whole(x)]));
	};
	return whole(drawing.option);
}

globalThis.turnwiseOption = option;

if (typeof document !== "undefined") (() => {
	// Values of colour tokens, as the browser has them: light-dark() is resolved by asking an element.
	let probe;
	function token(name) {
		if (!probe) {
			probe = document.createElement("span");
			probe.hidden = true;
			document.body.append(probe);
		}
		probe.style.color = "var(" + name + ")";
		return getComputedStyle(probe).color;
	}
	const drawn = new Map();
	function draw(figure) {
		const plot = figure.querySelector(".plot"), source = figure.querySelector("script");
		if (!plot || !source) return;
		const drawing = JSON.parse(source.textContent);
		const chart = echarts.init(plot, null, { renderer: "canvas" });
		chart.setOption(option(drawing, token));
		chart.on("click", (p) => follow(figure, drawing, p));
		zoom(figure, chart, drawing);
		drawn.set(figure, chart);
		new ResizeObserver(() => chart.resize()).observe(plot);
	}
	function drawAll() {
		for (const [figure, chart] of drawn) if (!document.contains(figure)) {
			chart.dispose();
			drawn.delete(figure);
		}
		if (typeof echarts === "undefined") return;
		for (const figure of document.querySelectorAll("[data-chart]")) if (!drawn.has(figure)) draw(figure);
	}
	function redraw() {
		for (const [figure, chart] of drawn) {
			chart.setOption(option(JSON.parse(figure.querySelector("script").textContent), token), true);
		}
	}
	// A click opens the list that the table's cell links to.
	function follow(figure, drawing, p) {
		if (drawing.kind === "sankey") {
			if (p.dataType === "edge") figure.querySelectorAll("tbody tr")[p.data.row]?.querySelector("a")?.click();
			return;
		}
		const [row, at] = drawing.kind === "heat" ? p.value : [p.dataIndex, drawing.series.indexOf(p.seriesName)];
		if (at < 0) return;
		const cell = figure.querySelectorAll("tbody tr")[row]?.children[1 + at * (drawing.based ? 2 : 1)];
		cell?.querySelector("a")?.click();
	}
	// Dragging over the plot narrows the range.
	function zoom(figure, chart, { spans }) {
		if (!spans || spans.length < 3) return;
		let from = null, mark = null;
		const index = (x) => Math.max(0, Math.min(spans.length - 1, Math.round(chart.convertFromPixel({ xAxisIndex: 0 }, x))));
		const zr = chart.getZr();
		zr.on("mousedown", (e) => { if (chart.containPixel("grid", [e.offsetX, e.offsetY])) from = e.offsetX; });
		zr.on("mousemove", (e) => {
			if (from === null || Math.abs(e.offsetX - from) < 8) return;
			if (!mark) {
				mark = new echarts.graphic.Rect({ silent: true, z: 100, style: { fill: token("--accent"), opacity: .15 } });
				zr.add(mark);
			}
			mark.attr("shape", { x: Math.min(from, e.offsetX), y: 10, width: Math.abs(e.offsetX - from), height: chart.getHeight() - 34 });
		});
		const end = (e) => {
			const was = from, dragged = mark;
			from = null;
			if (mark) zr.remove(mark);
			mark = null;
			if (!dragged || !e) return;
			const [a, b] = [index(was), index(e.offsetX)].sort((x, y) => x - y);
			const url = new URL(location.href);
			url.searchParams.delete("range");
			url.searchParams.delete("bucket");
			url.searchParams.set("from", spans[a][0]);
			url.searchParams.set("until", spans[b][1]);
			location.assign(url);
		};
		zr.on("mouseup", end);
		zr.on("globalout", () => end(null));
	}
	function save(name, href) {
		const a = document.createElement("a");
		a.href = href;
		a.download = name;
		a.click();
	}
	function csv(figure) {
		const cell = (t) => {
			t = t.replace(/\s+/g, " ").trim();
			if (/^[=+\-@\t]/.test(t)) t = "'" + t;
			return /[",\n]/.test(t) ? '"' + t.replaceAll('"', '""') + '"' : t;
		};
		const rows = [...figure.querySelectorAll("table tr")].map((r) => [...r.children].map((c) => cell(c.textContent)).join(","));
		return "\ufeff" + rows.join("\r\n") + "\r\n";
	}
	document.addEventListener("click", (e) => {
		const figure = e.target.closest("[data-chart]");
		if (!figure) return;
		const toggle = e.target.closest("[data-chart-table]");
		if (toggle) {
			const table = figure.querySelector(".table-wrap"), open = !table.toggleAttribute("data-collapsed");
			toggle.setAttribute("aria-expanded", String(open));
		}
		if (e.target.closest("[data-chart-csv]")) save(figure.id + ".csv", URL.createObjectURL(new Blob([csv(figure)], { type: "text/csv" })));
		if (e.target.closest("[data-chart-png]")) {
			const chart = drawn.get(figure);
			if (chart) save(figure.id + ".png", chart.getDataURL({ pixelRatio: 2, backgroundColor: token("--surface") }));
		}
	});
	document.addEventListener("htmx:afterSettle", drawAll);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
	new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
	if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
	else drawAll();
})();
