//! Colours and patterns. Colours are those of Okabe and Ito, which people with
//! any kind of colour vision tell apart; a pattern tells what they tell, for a
//! printer that has no colours. A dark page has colours of its own.

/// The style of a picture: of the paper, of text, and of what patterns are made of.
pub(super) const PICTURE: &str = "\
.paper{fill:#fff}.ink{fill:#1b1f24}.dim{fill:#57606a}.lines{stroke:#fff;fill:none}\
.frame{stroke:#8c959f;fill:none}.mark{stroke:#1b1f24;fill:none}.light{stroke:#fff;fill:none}\
.cr{fill:#0072b2}.cn{fill:#d8dee4}.dot{fill:#57606a}.co{fill:#fff}.ca{fill:#009e73}\
.ct{fill:#f0e442}.cs{fill:#e69f00}.cd{fill:#cc79a7}.cb{fill:#d55e00}\
.r{fill:#0072b2}.n{fill:url(#n)}.o{fill:url(#o)}.a{fill:url(#a)}.t{fill:url(#t)}.s{fill:url(#s)}\
.d{fill:url(#d)}.b{fill:url(#b)}.p{fill:url(#p)}";

/// What is different on a dark page.
const DARK_PICTURE: &str = "\
.paper{fill:#0d1117}.ink{fill:#e6edf3}.dim{fill:#9da7b3}.lines{stroke:#0d1117}\
.frame{stroke:#6e7681}.cr,.r{fill:#56b4e9}.cn{fill:#30363d}.dot{fill:#9da7b3}.co{fill:#0d1117}";

/// The page around pictures.
const PAGE: &str = "\
body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:52rem;\
margin:1.5rem auto;padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem;\
overflow-wrap:anywhere}h3{font-size:1rem}.scroll{overflow-x:auto}svg{max-width:100%;height:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6rem 0}\
th,td{padding:.15rem .7rem;border-bottom:1px solid #d0d7de;text-align:left;vertical-align:top;\
overflow-wrap:anywhere}th{font-weight:600;white-space:nowrap}.num{text-align:right;\
white-space:nowrap;overflow-wrap:normal}.word{white-space:nowrap;overflow-wrap:normal}.best td{font-weight:700}pre{white-space:pre-wrap;overflow-wrap:anywhere}p.about,footer{color:#57606a}";

/// What is different on a dark page.
const DARK_PAGE: &str = "\
body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}p.about,footer{color:#9da7b3}";

/// What is different on paper: never dark, and no table is cut.
const PRINT: &str = "\
@media print{body{max-width:none;margin:0}tr,figure{break-inside:avoid}\
.scroll{overflow:visible}svg *{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

/// The style sheet of a picture that stands alone.
pub(super) fn of_picture() -> String {
    format!("{PICTURE}@media screen and (prefers-color-scheme:dark){{{DARK_PICTURE}}}")
}

/// The style sheet of a page with pictures.
pub(super) fn of_page() -> String {
    format!(
        ":root{{color-scheme:light dark}}{PAGE}{PICTURE}\
         @media screen and (prefers-color-scheme:dark){{{DARK_PAGE}{DARK_PICTURE}}}{PRINT}"
    )
}

/// The patterns that the style sheet names.
pub(super) const PATTERNS: &str = "\
<defs>\
<pattern id=\"n\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"cn\" width=\"6\" height=\"6\"/><circle class=\"dot\" cx=\"3\" cy=\"3\" r=\".8\"/></pattern>\
<pattern id=\"p\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"cn\" width=\"6\" height=\"6\"/><rect class=\"cr\" width=\"3\" height=\"6\"/></pattern>\
<pattern id=\"o\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"co\" width=\"8\" height=\"8\"/><path class=\"frame\" stroke-width=\".6\" d=\"M0 8h8\"/></pattern>\
<pattern id=\"a\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"ca\" width=\"6\" height=\"6\"/><path class=\"light\" stroke-width=\".8\" d=\"M0 3h6\"/></pattern>\
<pattern id=\"t\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"ct\" width=\"6\" height=\"6\"/><path class=\"mark\" d=\"M3 1v4M1 3h4\"/></pattern>\
<pattern id=\"s\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"cs\" width=\"6\" height=\"6\"/><path class=\"mark\" d=\"M-1 7L7-1M-4 4L4-4M2 10L10 2\"/></pattern>\
<pattern id=\"d\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"cd\" width=\"5\" height=\"5\"/><path class=\"mark\" d=\"M2.5 0v5\"/></pattern>\
<pattern id=\"b\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<rect class=\"cb\" width=\"6\" height=\"6\"/><path class=\"mark\" d=\"M0 0L6 6M6 0L0 6\"/></pattern>\
</defs>";
