"""A report in one HTML file: flame graph, charts and tables, for a light and a dark page. It asks for nothing.

The page's own policy forbids every request and every script but ours, which is only for comfort: without it the page
shows the same. Traced text is escaped wherever it stands (`escaped_html`), and is never part of a script or style.
"""

from ior_nb.export.html.report import html

__all__ = ["html"]
