//! Saying too much, and what should not be said.

use std::io::Write as _;

use crate::Ends;

fn flood(text: &[u8]) -> Ends {
    let text = text.repeat((64 << 10) / text.len());
    let mut out = std::io::stdout().lock();
    loop {
        let _ = out.write_all(&text);
    }
}

/// One line that never ends.
pub fn flood_bytes() -> Ends {
    flood(b"x")
}

/// Nothing but ends of lines.
pub fn flood_lines() -> Ends {
    flood(b"\n")
}

/// What drives a terminal that shows it: colours, a title, the screen, the clipboard, the direction
/// of text, bytes that are no UTF-8.
pub fn escapes() -> Ends {
    let mut out = std::io::stdout().lock();
    let texts: [&[u8]; 8] = [
        b"\x1b[31mred\x1b[0m",
        b"\x1b]0;title\x07",
        b"\x1b[2J\x1b[H",
        b"\x1b]52;c;aGVsbG8=\x07",
        b"\xc2\x9b31m",
        "\u{202e}desrever".as_bytes(),
        b"\xff\xfe\xc0\x80",
        b"a\rb\x08c\x7f\0d",
    ];
    for text in texts {
        out.write_all(text).expect("standard output takes everything");
        out.write_all(b"\n").expect("standard output takes everything");
    }
    Some(0)
}

/// All variables by name, a line each.
pub fn environment() -> Ends {
    for (name, value) in std::env::vars_os() {
        println!("{}={}", name.to_string_lossy(), value.to_string_lossy());
    }
    Some(0)
}

pub fn count_arguments() -> Ends {
    let bytes: usize = std::env::args_os().map(|argument| argument.len() + 1).sum();
    println!("{} arguments, {bytes} bytes", std::env::args_os().count());
    Some(0)
}
