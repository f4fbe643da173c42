// For tsc alone: what the page's files remember on an element begins with an underscore.
interface Element {
  [note: `_${string}`]: any;
}

// plotly.js, loaded once a page.
declare var __iorPlotly: Promise<any> | undefined;
