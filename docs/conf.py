"""The documentation as a site: `make docs` builds it. Every warning is an error there, as for a link to nowhere."""

project = "EMO Desk"
author = "EMO Desk"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "EMO Desk"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    # The desk's own accent (emo_site/static/desk/tokens.css).
    "light_css_variables": {"color-brand-primary": "#1f5fbf", "color-brand-content": "#1f5fbf"},
    "dark_css_variables": {"color-brand-primary": "#82b1ff", "color-brand-content": "#82b1ff"},
}
# Pages link to headings of one another.
myst_heading_anchors = 3
# The diagram of states is drawn where the file is read on a forge; here it is shown as its text.
suppress_warnings = ["misc.highlighting_failure"]
