//! Ways out of a folder.

use std::fs;

use crate::Ends;
use crate::wasi::{self, Answer};

/// What was tried, and how much of it was not refused.
struct Tries {
    reached: usize,
    refused: usize,
}

impl Tries {
    fn new() -> Self {
        Self { reached: 0, refused: 0 }
    }

    fn must_fail<T>(&mut self, what: &str, path: &str, answer: Answer<T>) {
        match answer {
            Ok(_) => {
                self.reached += 1;
                println!("REACHED: {what} {path:?}");
            }
            Err(_) => self.refused += 1,
        }
    }

    fn end(self) -> Ends {
        println!("refused {} reached {}", self.refused, self.reached);
        Some(i32::from(self.reached > 0))
    }

    /// Everything that can be done with a path outside, in all ways.
    fn at(&mut self, fd: i32, path: &str) {
        let bytes = path.as_bytes();
        let below = format!("{path}/passwd");
        let below = below.as_bytes();
        for follow in [true, false] {
            self.must_fail("read", path, wasi::open(fd, bytes, follow, 0, wasi::READ));
            self.must_fail("write", path, wasi::open(fd, bytes, follow, 0, wasi::WRITE));
            self.must_fail("create", path, wasi::open(fd, bytes, follow, wasi::CREATE, wasi::WRITE));
            self.must_fail("truncate", path, wasi::open(fd, bytes, follow, wasi::TRUNCATE, wasi::WRITE));
            self.must_fail("list", path, wasi::open(fd, bytes, follow, wasi::DIRECTORY, wasi::READ));
            self.must_fail("read below", path, wasi::open(fd, below, follow, 0, wasi::READ));
            self.must_fail("look at", path, wasi::look_at(fd, bytes, follow));
            self.must_fail("set the times of", path, wasi::set_times(fd, bytes, follow));
            self.must_fail("link", path, wasi::hard_link(fd, bytes, follow, fd, b"mine"));
        }
        self.must_fail("make a folder at", path, wasi::make_folder(fd, bytes));
        self.must_fail("remove the folder", path, wasi::remove_folder(fd, bytes));
        self.must_fail("remove the file", path, wasi::unlink(fd, bytes));
        self.must_fail("read the link", path, wasi::read_link(fd, bytes));
        self.must_fail("take", path, wasi::rename(fd, bytes, fd, b"mine"));
        self.must_fail("put into", path, wasi::rename(fd, b"f", fd, bytes));
        self.must_fail("link into", path, wasi::hard_link(fd, b"f", false, fd, bytes));
        self.must_fail("make a link at", path, wasi::symlink(b"f", fd, bytes));
    }
}

fn prepare(fd: i32) {
    let file = wasi::open(fd, b"f", false, wasi::CREATE, wasi::WRITE).expect("the folder takes a file");
    wasi::close(file);
    for folder in [&b"d"[..], b"d/e"] {
        wasi::make_folder(fd, folder).expect("the folder takes a folder");
    }
}

/// By paths alone.
pub fn escape(folder: &str) -> Ends {
    let fd = wasi::given(folder);
    prepare(fd);
    let mut tries = Tries::new();
    let paths = [
        "..",
        "../",
        "../.",
        "../..",
        "../../../../../../../../etc/passwd",
        "/",
        "/etc",
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/root",
        "/proc/self/root/etc/passwd",
        "/proc/self/fd",
        "/proc/self/cwd",
        "/proc/self/exe",
        "/proc/self/environ",
        "/proc/1/root",
        "/sys/kernel",
        "/dev/mem",
        "/dev/null",
        "./..",
        "./../etc/passwd",
        "d/../..",
        "d/../../etc/passwd",
        "d/e/../../..",
        "d/e/../../../etc",
        "d/./../../etc",
        "f/..",
        "f/../../etc/passwd",
        "missing/../../etc/passwd",
    ];
    for path in paths {
        tries.at(fd, path);
    }
    // From an open folder that is moved meanwhile.
    let inner = wasi::open(fd, b"d/e", false, wasi::DIRECTORY, wasi::READ).expect("it was made");
    wasi::rename(fd, b"d/e", fd, b"g").expect("a folder can be moved");
    for path in ["..", "../..", "../../etc", "../f"] {
        tries.must_fail("read from a moved folder", path, wasi::open(inner, path.as_bytes(), true, 0, wasi::READ));
        tries.must_fail("look from a moved folder at", path, wasi::look_at(inner, path.as_bytes(), true));
    }
    // The same by the library's own way of finding a folder for a path.
    for path in ["/etc/passwd", "/proc/self/environ", "/proc/self/fd/0", "/../etc/passwd", "../../etc/passwd"] {
        tries.must_fail("the library reads", path, fs::read(path).map_err(|_| wasi::Refusal(0)));
        tries.must_fail("the library lists", path, fs::read_dir(path).map_err(|_| wasi::Refusal(0)));
    }
    tries.end()
}

/// By symbolic links, which may point anywhere but lead nowhere outside.
pub fn links(folder: &str) -> Ends {
    let fd = wasi::given(folder);
    prepare(fd);
    let mut tries = Tries::new();
    let targets = [
        "..",
        "../..",
        "../",
        "../..//",
        "../../../../../../../../etc",
        "../../../../../../../../etc/",
        "../../../../../../../../etc/passwd",
        "../outside",
        "../outside/",
        "../outside/secret.txt",
        "d/../..",
        "d/e/../../../outside",
        "./..",
        "/",
        "/etc/passwd",
        "/proc/self/root",
        "/proc/self/cwd/../..",
        "/proc/self/fd/3",
        "/dev/mem",
        "chain-0",
        "loop",
    ];
    let mut made = 0;
    for (number, target) in targets.into_iter().enumerate() {
        let name = match target {
            "loop" => "loop".to_owned(),
            _ => format!("chain-{number}"),
        };
        match wasi::symlink(target.as_bytes(), fd, name.as_bytes()) {
            Err(_) => {
                tries.refused += 1;
                continue;
            }
            Ok(()) => made += 1,
        }
        through(&mut tries, fd, &name);
    }
    // A link below a folder, whose way up is longer than the way down.
    wasi::symlink(b"../../../outside", fd, b"d/e/up").expect("a link may point up");
    through(&mut tries, fd, "d/e/up");
    let inner = wasi::open(fd, b"d/e", false, wasi::DIRECTORY, wasi::READ).expect("it was made");
    through(&mut tries, inner, "up");
    println!("links {made}");
    tries.end()
}

/// Everything that follows a link.
fn through(tries: &mut Tries, fd: i32, link: &str) {
    let bytes = link.as_bytes();
    for (how, rights) in [(0, wasi::READ), (0, wasi::WRITE), (wasi::DIRECTORY, wasi::READ)] {
        tries.must_fail("open through", link, wasi::open(fd, bytes, true, how, rights));
        tries.must_fail("open the link", link, wasi::open(fd, bytes, false, how, rights));
    }
    let truncate = wasi::open(fd, bytes, true, wasi::TRUNCATE, wasi::WRITE);
    tries.must_fail("truncate through", link, truncate);
    let create = wasi::open(fd, bytes, true, wasi::CREATE, wasi::WRITE);
    tries.must_fail("create through", link, create);
    tries.must_fail("look through", link, wasi::look_at(fd, bytes, true));
    tries.must_fail("set times through", link, wasi::set_times(fd, bytes, true));
    for name in ["passwd", "etc/passwd", "secret.txt", "new", ".."] {
        let below = format!("{link}/{name}");
        let bytes = below.as_bytes();
        tries.must_fail("open below", &below, wasi::open(fd, bytes, true, 0, wasi::READ));
        tries.must_fail("create below", &below, wasi::open(fd, bytes, true, wasi::CREATE, wasi::WRITE));
        tries.must_fail("look below", &below, wasi::look_at(fd, bytes, false));
        tries.must_fail("make a folder below", &below, wasi::make_folder(fd, bytes));
        tries.must_fail("remove below", &below, wasi::unlink(fd, bytes));
        tries.must_fail("put below", &below, wasi::rename(fd, b"f", fd, bytes));
        tries.must_fail("link below", &below, wasi::hard_link(fd, b"f", false, fd, bytes));
        tries.must_fail("make a link below", &below, wasi::symlink(b"f", fd, bytes));
    }
    // A slash behind the name asks for the folder that a link leads to.
    for name in [format!("{link}/"), format!("{link}//"), format!("{link}/.")] {
        let bytes = name.as_bytes();
        tries.must_fail("open with a slash", &name, wasi::open(fd, bytes, false, 0, wasi::READ));
        tries.must_fail("list with a slash", &name, wasi::open(fd, bytes, false, wasi::DIRECTORY, wasi::READ));
        // The link itself may be looked at.
        let looked = wasi::look_at(fd, bytes, false);
        if !looked.is_ok_and(|stat| stat[2] & 0xff == wasi::LINK) {
            tries.must_fail("look with a slash", &name, looked);
        }
        tries.must_fail("make a folder with a slash", &name, wasi::make_folder(fd, bytes));
        tries.must_fail("remove with a slash", &name, wasi::remove_folder(fd, bytes));
        tries.must_fail("unlink with a slash", &name, wasi::unlink(fd, bytes));
        tries.must_fail("link with a slash", &name, wasi::hard_link(fd, bytes, false, fd, b"mine"));
        tries.must_fail("take with a slash", &name, wasi::rename(fd, bytes, fd, b"mine"));
    }
    // A link to what the link points to would be as good as what it points to.
    tries.must_fail("link to its target", link, wasi::hard_link(fd, bytes, true, fd, b"mine"));
}

/// Everything that changes a folder with a `file.txt` in it, which may only be read.
pub fn change(folder: &str) -> Ends {
    let fd = wasi::given(folder);
    let mut tries = Tries::new();
    let name = b"file.txt";
    tries.must_fail("create", "new", wasi::open(fd, b"new", false, wasi::CREATE, wasi::WRITE));
    tries.must_fail("write", "file.txt", wasi::open(fd, name, false, 0, wasi::WRITE));
    tries.must_fail("truncate", "file.txt", wasi::open(fd, name, false, wasi::TRUNCATE, wasi::WRITE));
    tries.must_fail("truncate for reading", "file.txt", wasi::open(fd, name, false, wasi::TRUNCATE, wasi::READ));
    tries.must_fail("make a folder", "new", wasi::make_folder(fd, b"new"));
    tries.must_fail("make a link", "new", wasi::symlink(name, fd, b"new"));
    tries.must_fail("link", "new", wasi::hard_link(fd, name, false, fd, b"new"));
    tries.must_fail("rename", "file.txt", wasi::rename(fd, name, fd, b"new"));
    tries.must_fail("unlink", "file.txt", wasi::unlink(fd, name));
    tries.must_fail("remove", "folder", wasi::remove_folder(fd, b"folder"));
    tries.must_fail("set times", "file.txt", wasi::set_times(fd, name, true));
    let file = wasi::open(fd, name, false, 0, wasi::READ).expect("it may be read");
    tries.must_fail("write to what is open", "file.txt", wasi::write_at(file, b"changed", 0));
    tries.must_fail("cut what is open", "file.txt", wasi::set_size(file, 0));
    let mut room = [0; 9];
    let read = wasi::read_at(file, &mut room, 0).expect("it may be read");
    println!("read {}", String::from_utf8_lossy(&room[..read]));
    tries.end()
}

/// Has a `file.txt` that may only be read appear in a folder that may be written to.
pub fn carry(from: &str, to: &str) -> Ends {
    let (from, to) = (wasi::given(from), wasi::given(to));
    let mut tries = Tries::new();
    let name = b"file.txt";
    tries.must_fail("link over", "file.txt", wasi::hard_link(from, name, false, to, b"linked"));
    tries.must_fail("link over by following", "file.txt", wasi::hard_link(from, name, true, to, b"linked"));
    tries.must_fail("move over", "file.txt", wasi::rename(from, name, to, b"moved"));
    let file = wasi::open(to, b"mine", false, wasi::CREATE, wasi::WRITE).expect("that folder takes files");
    wasi::close(file);
    tries.must_fail("link into", "mine", wasi::hard_link(to, b"mine", false, from, b"linked"));
    tries.must_fail("move onto", "file.txt", wasi::rename(to, b"mine", from, name));
    tries.end()
}
