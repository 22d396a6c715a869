//! The palette, light and dark, and the style sheets made of it.
//!
//! A rule is written once with `$names`; [`css`] writes it with the light colours and again, for dark screens, with the dark ones. Colours
//! stand in the rules themselves, not in variables, because viewers of SVG files other than browsers know none. The word *screen*
//! keeps paper white.

/// A name, its light and its dark colour.
const PALETTE: &[(&str, &str, &str)] = &[
    // Longest first where one name begins another.
    ("$ok-soft", "#e3eef8", "#12283d"),
    ("$ok", "#1668b0", "#63aef0"),
    ("$unknown-soft", "#fbeeda", "#33240d"),
    ("$unknown", "#9c5300", "#f0a23c"),
    ("$bad-soft", "#fbe6ee", "#3a1626"),
    // What the zone, a tenth of bad, makes of a panel.
    ("$plate", "#f7e7ed", "#2d232e"),
    ("$bad", "#b3124f", "#ff6a9b"),
    ("$ink-2", "#55606c", "#a9b3bf"),
    ("$ink", "#1a1f26", "#e7ebf0"),
    ("$failed", "#6d7680", "#c0c8d1"),
    ("$line-2", "#e9ecef", "#222932"),
    ("$line", "#d5dae0", "#303842"),
    ("$panel", "#ffffff", "#161b22"),
    ("$sunk", "#f3f4f2", "#1d242d"),
    ("$ground", "#fafaf8", "#0f1318"),
    ("$partition", "#6b3fc4", "#b79cf7"),
    ("$kill", "#3c4550", "#8b96a2"),
    ("$pause", "#917300", "#dcb93c"),
    ("$clock", "#00708a", "#4cc4dd"),
    ("$disk", "#a03a6e", "#ea93be"),
    ("$link", "#2b5605", "#a4cf6c"),
];

/// What holds for the picture, on its own and within a page.
pub(super) const PICTURE: &str = include_str!("assets/picture.css");

/// What holds for the page around it.
pub(super) const PAGE: &str = include_str!("assets/page.css");

/// A style sheet for both schemes. Lines that name a colour come again for dark screens; the others hold for both.
pub(super) fn css(template: &str) -> String {
    let colored: String = template
        .lines()
        .filter(|line| line.contains('$'))
        .map(|line| format!("  {line}\n"))
        .collect();
    let light = PALETTE
        .iter()
        .fold(template.to_owned(), |css, (name, light, _)| css.replace(name, light));
    let dark = PALETTE.iter().fold(colored, |css, (name, _, dark)| css.replace(name, dark));
    format!("\n{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text and the grounds it stands on.
    const TEXT_ON: &[(&str, &[&str])] = &[
        ("$ink", &["$panel", "$ground", "$sunk", "$ok-soft", "$unknown-soft", "$bad-soft"]),
        ("$ink-2", &["$panel", "$ground", "$sunk", "$ok-soft", "$unknown-soft"]),
        ("$bad", &["$panel", "$ground", "$bad-soft", "$plate"]),
        ("$unknown", &["$panel", "$unknown-soft"]),
        ("$ok", &["$panel", "$ground", "$ok-soft"]),
        ("$failed", &["$panel"]),
        ("$partition", &["$panel"]),
        ("$kill", &["$panel"]),
        ("$pause", &["$panel"]),
        ("$clock", &["$panel"]),
        ("$disk", &["$panel"]),
        ("$link", &["$panel"]),
    ];

    /// Relative luminance, WCAG 2.1.
    fn luminance(color: &str) -> f64 {
        let channel = |place: usize| {
            let part = f64::from(u8::from_str_radix(&color[place..place + 2], 16).unwrap()) / 255.0;
            if part <= 0.03928 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn every_text_can_be_read_on_its_ground() {
        let of = |name: &str| PALETTE.iter().find(|(other, ..)| *other == name).unwrap();
        for (text, grounds) in TEXT_ON {
            for ground in *grounds {
                for (scheme, text_color, ground_color) in [("light", of(text).1, of(ground).1), ("dark", of(text).2, of(ground).2)] {
                    let (a, b) = (luminance(text_color), luminance(ground_color));
                    let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                    assert!(contrast >= 4.5, "{text} on {ground}, {scheme}: {contrast:.2}");
                }
            }
        }
    }

    #[test]
    fn every_name_in_the_sheets_is_a_color() {
        for template in [PICTURE, PAGE] {
            let css = css(template);
            assert!(!css.contains('$') && !css.contains('<'), "{css}");
            assert_eq!(css.matches('{').count(), css.matches('}').count());
            assert!(!css.contains("url(") && !css.contains("@import"), "nothing is fetched");
        }
    }
}
