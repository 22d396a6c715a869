//! Hostile text made visible.
//!
//! Keys, values and node names come from a system that is being broken on purpose, or from somebody else's file. A terminal obeys control
//! characters and a reader is misled by invisible ones, so both are spelled out.

/// `text` with every control, bidirectional and zero-width character spelled as `\u{…}`, cut after `chars_max` characters with `…`.
pub fn visible(text: &str, chars_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(chars_max));
    for (count, character) in text.chars().enumerate() {
        if count == chars_max {
            shown.push('…');
            break;
        }
        if is_hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Characters that a terminal obeys or does not show: controls, line and paragraph separators, zero-width and bidirectional marks, tags.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn spells_out_what_a_terminal_would_obey() {
        assert_eq!(visible("k1", 10), "k1");
        assert_eq!(visible("a\u{1b}[31mb\n\u{9b}", 99), r"a\u{1b}[31mb\u{a}\u{9b}");
        assert_eq!(visible("x\u{202e}y\u{200b}", 99), r"x\u{202e}y\u{200b}");
        assert_eq!(visible("Zürich 東京", 99), "Zürich 東京");
    }

    #[test]
    fn cuts_what_is_too_long() {
        assert_eq!(visible("abc", 3), "abc");
        assert_eq!(visible("abcd", 3), "abc…");
    }
}
