"""The HTML pages that a run leaves behind: one way to fill their templates, and the styles that they begin with."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources

import jinja2
from markupsafe import Markup

_BASE_STYLE = "base.css"


def fill_page(
    room: str,
    name: str,
    values: Mapping[str, object],
    *,
    filters: Mapping[str, Callable[..., object]] | None = None,
) -> str:
    """Fill the template of a page that needs no other file, loads nothing, and escapes whatever comes from outside.

    Args:
        room: The package whose folder `templates` holds `NAME.html.j2` and `NAME.css`, and `NAME.js` where it has one.
        name: Of the page.
        values: What the template speaks of. It also gets `style` (the styles that all pages share, then its own), and
            with a script `script` and `script_hash`, which the page's content security policy allows alone.
        filters: What the template may apply to values.

    Raises:
        jinja2.UndefinedError: The template speaks of something that is not in `values`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda file: _read(room, file)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    style = f"{_read('tubelet.runs', _BASE_STYLE)}{_read(room, f'{name}.css')}"
    own: dict[str, str] = {"style": Markup(style)}  # noqa: S704 - our own files
    if resources.files(room).joinpath("templates", f"{name}.js").is_file():
        script = _read(room, f"{name}.js")
        own["script"] = Markup(script)  # noqa: S704 - our own file
        own["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(f"{name}.html.j2").render({**values, **own})


def _read(room: str, file: str) -> str:
    return resources.files(room).joinpath("templates", file).read_text(encoding="utf-8")
