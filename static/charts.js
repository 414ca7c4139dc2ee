// Draws charts. option() is a pure function from a chart's spec (see views/chart.go) and the values of the colour
// tokens to an option of ECharts; the rest finds the charts of a page and listens.

const FONT = '"IBM Plex Sans", system-ui, sans-serif';

let signs = ",."; // between thousands, and before tenths: as the workspace writes them
function count(n) { return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, signs[0]); }
function decimal(n, places) { return n.toFixed(places).replace(".", signs[1]); }
function axisCount(n) { return n >= 10000 ? decimal(n / 1000, n % 1000 === 0 ? 0 : 1) + "k" : count(n); }
function millis(ms) {
	if (ms < 999.5) return Math.round(ms) + " ms";
	const s = ms / 1000;
	if (s < 9.95) return decimal(s, 1) + " s";
	if (s < 59.5) return Math.round(s) + " s";
	const n = Math.round(s), two = (x) => String(x).padStart(2, "0");
	if (n < 3600) return Math.floor(n / 60) + " m " + two(n % 60) + " s";
	if (n < 86400) return Math.floor(n / 3600) + " h " + two(Math.floor(n % 3600 / 60)) + " m";
	return Math.floor(n / 86400) + " d " + Math.floor(n % 86400 / 3600) + " h";
}
function text(unit, v) {
	if (v == null) return "–";
	return unit === "percent" ? decimal(v * 100, 1) + "%" : unit === "ms" ? millis(v) : count(v);
}
function axisText(unit, v) {
	return unit === "percent" ? Math.round(v * 100) + "%" : unit === "ms" ? millis(v) : axisCount(v);
}

function option(spec, tok) {
	signs = spec.signs || signs;
	const unfinished = (spec.x || []).map((x) => !!x.unfinished);
	const base = {
		animation: false,
		textStyle: { fontFamily: FONT, fontSize: 11, color: tok("--ink-3") },
		aria: { enabled: false },
	};
	if (spec.kind === "sankey") return { ...base, ...sankey(spec, tok) };
	if (spec.kind === "heat") return { ...base, ...heat(spec, tok) };
	const o = {
		...base,
		grid: { left: 8, right: spec.kind === "lines" ? 78 : 8, top: spec.markers ? 24 : 10, bottom: 4, containLabel: true, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
		tooltip: {
			trigger: "axis", renderMode: "richText", confine: true, backgroundColor: tok("--raised"), borderColor: tok("--line-strong"), borderWidth: 1,
			textStyle: { color: tok("--ink"), fontFamily: FONT, fontSize: 12 }, axisPointer: { type: spec.kind === "stack" ? "shadow" : "line", lineStyle: { color: tok("--line-strong") }, shadowStyle: { color: tok("--line"), opacity: .5 } },
			formatter: (all) => tooltip(spec, (Array.isArray(all) ? all : [all])[0].dataIndex),
		},
		xAxis: {
			type: "category", data: spec.x.map((x) => x.label), axisTick: { show: false }, axisLine: { lineStyle: { color: tok("--line-strong") } },
			axisLabel: { color: tok("--ink-3"), fontSize: 11, hideOverlap: true, margin: 8 }, boundaryGap: spec.kind === "stack",
		},
		yAxis: {
			type: "value", splitNumber: 4, scale: spec.kind === "lines" && spec.unit !== "ms", min: spec.unit === "ms" || spec.kind === "stack" ? 0 : undefined, max: spec.unit === "percent" ? (v) => Math.min(1, v.max + Math.max(.01, (v.max - v.min) * .1)) : undefined,
			minInterval: spec.unit === "count" ? 1 : undefined, splitLine: { lineStyle: { color: tok("--line") } }, axisLabel: { color: tok("--ink-3"), fontSize: 11, formatter: (v) => axisText(spec.unit, v) },
		},
		series: [],
	};
	for (const s of spec.series) {
		if (spec.kind === "stack") {
			const color = tok(s.color), hollow = s.color === "--c-open";
			o.series.push({
				name: s.name, type: "bar", stack: "all", barCategoryGap: spec.x.length > 60 ? "12%" : "22%", barMaxWidth: 44, cursor: "pointer",
				itemStyle: hollow ? { color: tok("--surface"), borderColor: color, borderWidth: 1 } : { color },
				data: s.values.map((v, i) => unfinished[i] ? { value: v, itemStyle: { color, opacity: hollow ? .15 : .3, borderColor: color, borderType: "dotted", borderWidth: 1 } } : v),
			});
			continue;
		}
		const color = tok(s.color), width = s.name === spec.main ? 2.25 : 1.5, few = new Set(s.few || []), soft = new Set(s.soft || []);
		const loose = (i) => unfinished[i] || soft.has(i);
		const alone = (i) => s.values[i] != null && s.values[i - 1] == null && s.values[i + 1] == null;
		const point = (v, i) => v == null ? null : {
			value: v, symbol: "circle", symbolSize: few.has(i) ? 7 : alone(i) || spec.x.length <= 31 ? 4 : 0,
			itemStyle: few.has(i) ? { color: tok("--surface"), borderColor: tok("--ink-3"), borderWidth: 1.5 } : { color },
		};
		const line = { type: "line", connectNulls: false, symbol: "circle", showSymbol: true, showAllSymbol: true, cursor: "pointer", emphasis: { disabled: true }, z: s.name === spec.main ? 4 : 3 };
		const firm = s.values.map((v, i) => loose(i) ? null : point(v, i));
		// The dotted tail begins at the last firm point, so that the line is one.
		const tail = s.values.map((v, i) => loose(i) || (i + 1 < s.values.length && loose(i + 1)) ? point(v, i) : null);
		const last = s.values.findLastIndex((v) => v != null);
		const label = { show: true, color: tok("--ink-2"), fontSize: 11, distance: 6, formatter: () => s.name };
		o.series.push({ ...line, name: s.name, data: firm, lineStyle: { color, width }, itemStyle: { color }, endLabel: loose(last) ? undefined : label, labelLayout: { moveOverlap: "shiftY" } });
		if (tail.some((v) => v)) o.series.push({ ...line, name: s.name, data: tail, lineStyle: { color, width, type: "dotted" }, itemStyle: { color }, endLabel: loose(last) ? label : undefined, labelLayout: { moveOverlap: "shiftY" } });
	}
	if (spec.before) o.series.push({
		name: spec.before.name, type: "line", step: "middle", data: spec.before.values, symbol: "none", silent: true, z: 5, lineStyle: { color: tok("--c-compare"), width: 1.25, type: "dotted" }, emphasis: { disabled: true },
	});
	if (spec.markers?.length && o.series.length) {
		const at = new Map();
		for (const m of spec.markers) at.set(m.at, [...(at.get(m.at) || []), m.name]);
		o.series[0].markLine = {
			silent: true, symbol: "none", animation: false, lineStyle: { color: tok("--c-marker"), type: "solid", width: 1 },
			data: markerLabels(at, spec).map(([i, name, align]) => ({ xAxis: i, label: { show: name !== "", formatter: name, align, color: tok("--ink-3"), fontSize: 11, position: "end", distance: 4 } })),
		};
	}
	return o;
}

// Names of markers that would stand on the one before are left to the tooltip. At the edges they stand beside their line.
function markerLabels(at, spec) {
	const plot = spec.wide ? 900 : 400, each = plot / Math.max(1, spec.x.length - 1); // pixels, about
	let free = -Infinity;
	return [...at].sort((a, b) => a[0] - b[0]).map(([i, names]) => {
		const full = names.length > 1 ? names.length + " events" : names[0];
		const name = full.length > 24 ? full.slice(0, 23) + "…" : full, width = name.length * 6.5, x = i * each;
		const align = x < width / 2 ? "left" : x > plot - width / 2 ? "right" : "center";
		const from = align === "left" ? x : align === "right" ? x - width : x - width / 2;
		if (from < free) return [i, "", align];
		free = from + width + 8;
		return [i, name, align];
	});
}

function tooltip(spec, i) {
	const x = spec.x[i];
	const lines = [x.long + (x.unfinished ? " · unfinished" : "")];
	for (const s of spec.series) {
		let line = s.name + "  " + text(spec.unit, s.values[i]);
		if (s.n?.[i]) line += "  (n " + count(s.n[i]) + ")";
		if (s.soft?.includes(i)) line += " · not final";
		lines.push(line);
	}
	if (spec.before && spec.before.values[i] != null) lines.push(spec.before.name + "  " + text(spec.unit, spec.before.values[i]));
	for (const m of spec.markers || []) if (m.at === i) lines.push("| " + m.name);
	return lines.join("\n");
}

function sankey(spec, tok) {
	const colors = ["--c-1", "--c-2", "--c-3", "--c-4", "--c-5", "--c-6"], slots = new Map();
	const color = (n) => {
		if (n.end) return tok("--c-other");
		if (!slots.has(n.label)) slots.set(n.label, colors[slots.size % colors.length]);
		return tok(slots.get(n.label));
	};
	const labels = new Map(spec.nodes.map((n) => [n.name, n.label]));
	const deepest = Math.max(...spec.nodes.map((n) => n.depth));
	const place = (n) => spec.back ? deepest - n.depth : n.depth;
	return {
		tooltip: {
			renderMode: "richText", confine: true, backgroundColor: tok("--raised"), borderColor: tok("--line-strong"), borderWidth: 1, textStyle: { color: tok("--ink"), fontFamily: FONT, fontSize: 12 },
			formatter: (p) => p.dataType === "edge" ? labels.get(p.data.source) + " → " + labels.get(p.data.target) + "\n" + count(p.data.value) : labels.get(p.name) + "\n" + count(p.value),
		},
		series: [{
			type: "sankey", left: 4, right: 130, top: 8, bottom: 8, nodeWidth: 10, nodeGap: 8, draggable: false, emphasis: { focus: "adjacency" },
			label: { color: tok("--ink-2"), fontSize: 11, width: 120, overflow: "truncate", formatter: (p) => labels.get(p.name) },
			lineStyle: { color: "source", opacity: .22, curveness: .5 },
			data: spec.nodes.map((n) => ({ name: n.name, depth: place(n), itemStyle: { color: color(n), borderWidth: 0 } })),
			links: spec.links.map((l) => spec.back ? { source: l.target, target: l.source, value: l.value, row: l.row } : l),
		}],
	};
}

function heat(spec, tok) {
	const data = [];
	let most = 0;
	spec.series.forEach((s, y) => s.values.forEach((v, x) => {
		if (v == null) return;
		data.push([x, y, v]);
		most = Math.max(most, v);
	}));
	if (spec.unit === "ms") { // one slow hour must not pale all others
		const sorted = data.map((d) => d[2]).sort((a, b) => a - b);
		most = sorted[Math.floor(sorted.length * .95)] ?? most;
	}
	return {
		grid: { left: 36, right: 6, top: 20, bottom: 4 },
		tooltip: {
			renderMode: "richText", confine: true, backgroundColor: tok("--raised"), borderColor: tok("--line-strong"), borderWidth: 1, textStyle: { color: tok("--ink"), fontFamily: FONT, fontSize: 12 },
			formatter: (p) => spec.series[p.value[1]].name + " " + spec.x[p.value[0]].long + "\n" + text(spec.unit, p.value[2]) + (spec.series[p.value[1]].n ? "  (n " + count(spec.series[p.value[1]].n[p.value[0]]) + ")" : ""),
		},
		xAxis: { type: "category", position: "top", data: spec.x.map((x) => x.label), axisLine: { show: false }, axisTick: { show: false }, axisLabel: { color: tok("--ink-3"), fontSize: 11, interval: (i) => i % 6 === 0 } },
		yAxis: { type: "category", inverse: true, data: spec.series.map((s) => s.name), axisLine: { show: false }, axisTick: { show: false }, axisLabel: { color: tok("--ink-3"), fontSize: 11 } },
		visualMap: { show: false, min: 0, max: Math.max(most, 1e-9), dimension: 2, inRange: { color: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => tok("--heat-" + i)) } },
		series: [{ type: "heatmap", data, cursor: "pointer", itemStyle: { borderColor: tok("--surface"), borderWidth: 1.5 }, emphasis: { itemStyle: { borderColor: tok("--ink") } } }],
	};
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
		const spec = JSON.parse(source.textContent);
		const chart = echarts.init(plot, null, { renderer: "canvas" });
		chart.setOption(option(spec, token));
		chart.on("click", (p) => follow(figure, spec, p));
		zoom(figure, chart, spec);
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
			const spec = JSON.parse(figure.querySelector("script").textContent);
			chart.setOption(option(spec, token), true);
		}
	}
	// A click opens the list that the table's cell links to.
	function follow(figure, spec, p) {
		if (spec.kind === "sankey") {
			if (p.dataType === "edge") figure.querySelectorAll("tbody tr")[p.data.row]?.querySelector("a")?.click();
			return;
		}
		let row = p.dataIndex, column = p.seriesName;
		if (spec.kind === "heat") [row, column] = [p.value[0], spec.series[p.value[1]].name];
		const at = spec.series.findIndex((s) => s.name === column);
		if (at < 0) return;
		const per = spec.unit === "count" || !figure.querySelector("thead th.quiet") ? 1 : 2;
		const cell = figure.querySelectorAll("tbody tr")[row]?.children[1 + at * per];
		cell?.querySelector("a")?.click();
	}
	// Dragging over the plot narrows the range.
	function zoom(figure, chart, spec) {
		if (spec.kind === "heat" || spec.kind === "sankey" || !spec.x[0]?.from || spec.x.length < 3) return;
		let from = null, mark = null;
		const index = (x) => Math.max(0, Math.min(spec.x.length - 1, Math.round(chart.convertFromPixel({ xAxisIndex: 0 }, x))));
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
			url.searchParams.set("from", spec.x[a].from);
			url.searchParams.set("until", spec.x[b].until);
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
