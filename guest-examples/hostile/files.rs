//! Filling the scratch folder with everything that a file system has.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;

use crate::Ends;
use crate::wasi::{self, Refusal};

const SCRATCH: i32 = 3;

fn create(path: &str) -> wasi::Answer<i32> {
    wasi::open(SCRATCH, path.as_bytes(), false, wasi::CREATE, wasi::WRITE)
}

/// Does it again and again, until it is refused; says how often it was done, and the refusal.
fn until_refused(most: u64, mut act: impl FnMut(u64) -> wasi::Answer<()>) -> (u64, Option<Refusal>) {
    for number in 0..most {
        if let Err(refusal) = act(number) {
            return (number, Some(refusal));
        }
    }
    (most, None)
}

fn tell(what: &str, (count, refusal): (u64, Option<Refusal>)) {
    match refusal {
        Some(refusal) => println!("{what} {count} {refusal}"),
        None => println!("{what} {count} unbounded"),
    }
}

/// One file, as long as it gets, and another behind it.
pub fn fill_scratch() -> Ends {
    fill_with(&vec![0x5a; 1 << 20])
}

/// The same where no memory is left.
pub fn fill_with(mebibyte: &[u8]) -> Ends {
    for name in ["large", "larger"] {
        let file = create(name).expect("there is room for two files");
        let mut at = 0;
        let filled = until_refused(1 << 20, |_| {
            let written = wasi::write_at(file, mebibyte, at)?;
            at += i64::try_from(written).expect("a small number");
            Ok(())
        });
        tell(name, (at.unsigned_abs(), filled.1));
    }
    Some(0)
}

/// As many files as there may be, in folders of a thousand.
pub fn many_files() -> Ends {
    let made = until_refused(10_000_000, |number| {
        let folder = format!("d{}", number / 1000);
        if number.is_multiple_of(1000) {
            wasi::make_folder(SCRATCH, folder.as_bytes())?;
        }
        create(&format!("{folder}/f{number}")).map(wasi::close)
    });
    tell("files", made);
    Some(0)
}

/// As many names of one file as there may be, all in one folder, which is then listed.
pub fn many_names() -> Ends {
    wasi::close(create("one").expect("an empty folder takes a file"));
    let long = "n".repeat(240);
    let named = until_refused(1_000_000, |number| {
        wasi::hard_link(SCRATCH, b"one", false, SCRATCH, format!("{long}{number}").as_bytes())
    });
    tell("names", named);
    // In one call: the host goes through the whole folder for each.
    let mut room = vec![0; 24 << 20];
    let listing = wasi::list(SCRATCH, &mut room).expect("the folder can be listed");
    println!("listed {}", names_in(listing));
    Some(0)
}

/// Entries of a listing: a head of 24 bytes, of which the fifth four are the length of the name, and the
/// name.
fn names_in(mut listing: &[u8]) -> usize {
    let mut names = 0;
    while let Some((head, rest)) = listing.split_first_chunk::<24>() {
        let length = u32::from_le_bytes([head[16], head[17], head[18], head[19]]) as usize;
        listing = rest.get(length..).unwrap_or_default();
        names += 1;
    }
    names
}

/// A folder of many names, listed again and again.
pub fn list_for_ever() -> Ends {
    wasi::close(create("one").expect("an empty folder takes a file"));
    for number in 0..20_000 {
        let name = format!("name-{number}");
        wasi::hard_link(SCRATCH, b"one", false, SCRATCH, name.as_bytes()).expect("there is room for some names");
    }
    println!("listing");
    loop {
        std::hint::black_box(fs::read_dir("/").expect("the folder can be listed").count());
    }
}

/// Files that are long and have nothing in them.
pub fn sparse() -> Ends {
    let file = create("sparse").expect("an empty folder takes a file");
    for (what, size) in [("20 GiB", 20 << 30), ("8 EiB", i64::MAX)] {
        match wasi::set_size(file, size) {
            Ok(()) => println!("size {what} taken"),
            Err(refusal) => println!("size {what} {refusal}"),
        }
        match wasi::write_at(file, b"x", size - 1) {
            Ok(_) => println!("write at {what} taken"),
            Err(refusal) => println!("write at {what} {refusal}"),
        }
    }
    let most = 1 << 30;
    println!("size 1 GiB {}", if wasi::set_size(file, most).is_ok() { "taken" } else { "refused" });
    // A byte in each page of as many files as it takes to have more pages than there may be.
    let mut pages = 0_u64;
    let refusal = 'all: loop {
        let file = create(&format!("holes{pages}")).expect("there is room for some files");
        for page in 0..1 << 16 {
            match wasi::write_at(file, b"x", page << 12) {
                Ok(_) => pages += 1,
                Err(refusal) => break 'all Some(refusal),
            }
        }
        if pages > 1 << 20 {
            break None;
        }
    };
    tell("pages", (pages, refusal));
    Some(0)
}

/// Folders in folders. No path is as long as the way to the last of them.
pub fn deep() -> Ends {
    let mut folder = SCRATCH;
    let gone_down = until_refused(2_000, |_| {
        wasi::make_folder(folder, b"d")?;
        let next = wasi::open(folder, b"d", false, wasi::DIRECTORY, wasi::READ)?;
        if folder != SCRATCH {
            wasi::close(folder);
        }
        folder = next;
        Ok(())
    });
    tell("levels", gone_down);
    let way = "d/".repeat(10_000);
    match wasi::look_at(SCRATCH, way.as_bytes(), true) {
        Ok(_) => println!("long path taken"),
        Err(refusal) => println!("long path {refusal}"),
    }
    Some(0)
}

/// Names that are no names, and names that are hard to remove.
pub fn strange_names() -> Ends {
    let long = "l".repeat(255);
    let too_long = "l".repeat(256);
    let names: [(&str, &[u8]); 13] = [
        ("dots", b"..."),
        ("dash", b"-rf"),
        ("line", b"a\nb"),
        ("escape", b"\x1b[2J"),
        ("backslash", b"..\\..\\etc"),
        ("star", b"*"),
        ("right to left", "\u{202e}x".as_bytes()),
        ("255 letters", long.as_bytes()),
        ("256 letters", too_long.as_bytes()),
        ("a NUL", b"a\0b"),
        ("nothing", b""),
        ("a dot", b"."),
        ("two dots", b".."),
    ];
    for (what, name) in names {
        match wasi::open(SCRATCH, name, false, wasi::CREATE, wasi::WRITE) {
            Ok(file) => {
                wasi::close(file);
                println!("{what}: taken");
            }
            Err(refusal) => println!("{what}: {refusal}"),
        }
    }
    Some(0)
}

/// As many open files as there may be; then it goes on with those.
pub fn open_files() -> Ends {
    let mut last = create("one").expect("an empty folder takes a file");
    let opened = until_refused(1_000_000, |_| {
        last = wasi::open(SCRATCH, b"one", false, 0, wasi::WRITE)?;
        Ok(())
    });
    tell("files", opened);
    wasi::write_at(last, b"still here", 0).expect("open files can be written to");
    let mut room = [0; 10];
    wasi::read_at(last, &mut room, 0).expect("open files can be read");
    println!("{}", String::from_utf8_lossy(&room));
    wasi::close(last);
    let again = File::open("/one").expect("a closed file makes room for another");
    println!("opened again {}", again.as_raw_fd() >= 0);
    Some(0)
}

/// What others left in the scratch folder.
pub fn look() -> Ends {
    let mut found = 0;
    for entry in fs::read_dir("/").expect("the folder can be listed").flatten() {
        println!("REACHED: {}", entry.path().display());
        found += 1;
    }
    println!("found {found}");
    Some(i32::from(found > 0))
}
