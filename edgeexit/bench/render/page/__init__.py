"""A report as one self-contained HTML page, without scripts, fonts or external pictures."""

from edgeexit.bench.render.page.writing import check_page_path, render_page, write_page

__all__ = ["check_page_path", "render_page", "write_page"]
