// What we use of ECharts: static/vendor.sh makes vendor/echarts.min.js of it.
import { init, getInstanceByDom } from "echarts/lib/core/echarts.js";
import { use } from "echarts/lib/extension.js";
import { setPlatformAPI } from "zrender/lib/core/platform.js";
import Rect from "zrender/lib/graphic/shape/Rect.js";
import { BarChart, LineChart, HeatmapChart, SankeyChart } from "echarts/charts";
import { GridComponent, TooltipComponent, MarkLineComponent } from "echarts/components";
import { LabelLayout } from "echarts/features";
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

use([BarChart, LineChart, HeatmapChart, SankeyChart, GridComponent, TooltipComponent, MarkLineComponent, LabelLayout, CanvasRenderer, SVGRenderer]);
globalThis.echarts = { init, getInstanceByDom, graphic: { Rect }, setPlatformAPI };
