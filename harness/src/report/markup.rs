//! SVG and HTML as a tree whose text cannot become markup: escaping is in the only function that writes.
//!
//! Keys, values and names are hostile. Names of tags and attributes are `&'static str`, everything else is escaped on its way out, and
//! control and bidirectional characters are spelled out, which also keeps a standalone SVG well-formed XML. A template engine was not
//! taken: two kinds of page need no second language.

use squall_checker::escape::visible;

/// One element with its attributes and what it holds.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
enum Child {
    Element(Element),
    Text(String),
    /// A style sheet of ours, which a parser takes as raw text.
    Css(String),
}

/// Elements that neither XML nor HTML needs closed by a tag of their own.
const EMPTY: [&str; 7] = ["circle", "line", "meta", "path", "polygon", "polyline", "rect"];

/// An element without attributes.
pub(super) fn element(name: &'static str) -> Element {
    Element {
        name,
        attributes: Vec::new(),
        children: Vec::new(),
    }
}

/// A `<style>` of our own rules.
pub(super) fn style(css: &str) -> Element {
    debug_assert!(!css.contains('<'), "a style sheet of ours holds no markup");
    let mut style = element("style");
    style.children.push(Child::Css(css.to_owned()));
    style
}

impl Element {
    /// Sets an attribute to text.
    pub(super) fn set(mut self, name: &'static str, value: &str) -> Element {
        self.attributes.push((name, value.to_owned()));
        self
    }

    /// Sets attributes to numbers, in pixels.
    pub(super) fn at<const N: usize>(mut self, numbers: [(&'static str, f64); N]) -> Element {
        self.attributes.extend(numbers.map(|(name, value)| (name, number(value))));
        self
    }

    /// Sets the class.
    pub(super) fn class(self, class: &'static str) -> Element {
        self.set("class", class)
    }

    /// Adds text.
    pub(super) fn text(mut self, text: &str) -> Element {
        self.children.push(Child::Text(text.to_owned()));
        self
    }

    /// Adds an element.
    pub(super) fn with(mut self, child: Element) -> Element {
        self.children.push(Child::Element(child));
        self
    }

    /// Adds elements.
    pub(super) fn with_all(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.children.extend(children.into_iter().map(Child::Element));
        self
    }

    /// The markup, one element per line; elements that hold text stay on one.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value);
            out.push('"');
        }
        if self.children.is_empty() && EMPTY.contains(&self.name) {
            out.push_str("/>");
            return;
        }
        out.push('>');
        let is_block = !self.children.iter().any(|child| matches!(child, Child::Text(_)));
        for child in &self.children {
            match child {
                Child::Text(text) => escape(out, text),
                Child::Css(css) => out.push_str(css),
                Child::Element(child) => {
                    if is_block {
                        out.push('\n');
                    }
                    child.write(out);
                }
            }
        }
        if is_block && self.children.iter().any(|child| matches!(child, Child::Element(_))) {
            out.push('\n');
        }
        out.push_str("</");
        out.push_str(self.name);
        out.push('>');
    }
}

/// One digit behind the point, so that no platform's last bit reaches a file; none where it is 0.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // Minus zero is zero.
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

fn escape(out: &mut String, text: &str) {
    for character in visible(text, usize::MAX).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // The two characters that XML forbids and `visible` lets pass.
            '\u{fffe}' | '\u{ffff}' => out.extend(character.escape_unicode()),
            character => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        let hostile = "</script><img src=x onerror='a()'>\"&\u{202e}\u{0}\u{ffff}";
        let text = element("text").set("title", hostile).text(hostile).render();
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert_eq!(text.matches('"').count(), 2, "{text}");
        assert!(!text.contains(['\u{202e}', '\u{0}', '\u{ffff}', '\'']), "{text}");
        assert!(text.contains(r"\u{202e}\u{0}\u{ffff}"), "{text}");
    }

    #[test]
    fn numbers_have_one_digit_and_no_minus_zero() {
        let shown: Vec<String> = [1.0, 1.04, 1.06, -0.01, 1234.56].into_iter().map(number).collect();
        assert_eq!(shown, ["1", "1", "1.1", "0", "1234.6"]);
    }

    #[test]
    fn elements_stand_on_lines_of_their_own_and_text_stays_together() {
        let tree = element("g").with(element("rect").at([("x", 1.25)])).with(element("text").text("a"));
        assert_eq!(tree.render(), "<g>\n<rect x=\"1.3\"/>\n<text>a</text>\n</g>\n");
        assert_eq!(element("p").render(), "<p></p>\n");
    }
}
