//! Programs that mean harm, one for each word of the first argument. README.md says what each does
//! and how it ends.
//!
//! Those that try things which must be refused print a line for each and exit with 1 where
//! something was not refused.

mod calls;
mod files;
mod memory;
mod output;
mod paths;
mod race;
mod time;
mod wasi;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let known = match words.as_slice() {
        ["spin"] => time::spin(),
        ["sleep-for-ever"] => time::sleep_for_ever(),
        ["poll-for-ever"] => time::poll_for_ever(),
        ["yield-for-ever"] => time::yield_for_ever(),
        ["read-for-ever"] => time::read_for_ever(),
        ["ask-clocks"] => time::ask_clocks(),
        ["ask-random"] => time::ask_random(),

        ["grow"] => memory::grow(),
        ["grow-and-go-on"] => memory::grow_and_go_on(),
        ["fill-for-ever"] => memory::fill_for_ever(),
        ["fill-both"] => memory::fill_both(),
        ["copy-for-ever"] => memory::copy_for_ever(),
        ["recurse"] => memory::recurse(),

        ["flood-bytes"] => output::flood_bytes(),
        ["flood-lines"] => output::flood_lines(),
        ["escapes"] => output::escapes(),
        ["environment"] => output::environment(),
        ["count-arguments", ..] => output::count_arguments(),

        ["fill-scratch"] => files::fill_scratch(),
        ["many-files"] => files::many_files(),
        ["many-names"] => files::many_names(),
        ["list-for-ever"] => files::list_for_ever(),
        ["sparse"] => files::sparse(),
        ["deep"] => files::deep(),
        ["strange-names"] => files::strange_names(),
        ["open-files"] => files::open_files(),
        ["look"] => files::look(),

        ["escape"] => paths::escape("/"),
        ["escape", folder] => paths::escape(folder),
        ["links"] => paths::links("/"),
        ["links", folder] => paths::links(folder),
        ["change", folder] => paths::change(folder),
        ["carry", from, to] => paths::carry(from, to),
        ["race", folder] => race::run(folder),

        ["every-call"] => calls::every_call(),
        ["wild-calls"] => calls::wild_calls(),
        ["wild-value"] => calls::wild_value(),
        ["wild-pointer"] => calls::wild_pointer(),
        ["far-times"] => calls::far_times(),
        ["renumber"] => calls::renumber(),
        ["large-write"] => calls::large_write(),
        _ => None,
    };
    let Some(code) = known else {
        eprintln!("usage: hostile WORD, see README.md");
        std::process::exit(2);
    };
    std::process::exit(code);
}

/// The exit code of a program that ends by itself; a program that doesn't has none.
type Ends = Option<i32>;
