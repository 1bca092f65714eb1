"""A report as one page that needs nothing else: no script, no font, no picture from elsewhere."""

from edgeexit.bench.render.page.writing import check_page_path, render_page, write_page

__all__ = ["check_page_path", "render_page", "write_page"]
