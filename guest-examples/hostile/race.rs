//! Two children of an array in one folder: the first puts a link to the outside where a folder was,
//! and back, as fast as it can; the second goes through that name.
//!
//! The folder has `inside/` with `secret.txt`, whose text is `inside`, and the links `away-relative`
//! and `away-absolute` to a folder outside, whose `secret.txt` says something else.

use std::time::{Duration, Instant};

use crate::Ends;
use crate::wasi;

const LONG: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub fn run(folder: &str) -> Ends {
    let fd = wasi::given(folder);
    let index = std::env::var("AWS_BATCH_JOB_ARRAY_INDEX").expect("it is a child of an array");
    meet(fd, &index);
    if index == "0" { swap(fd) } else { follow(fd) }
}

/// Begins when both are there.
fn meet(fd: i32, index: &str) {
    let (mine, other) = (format!("ready-{index}"), if index == "0" { "ready-1" } else { "ready-0" });
    wasi::close(wasi::open(fd, mine.as_bytes(), false, wasi::CREATE, wasi::WRITE).expect("the folder takes files"));
    let begun = Instant::now();
    while wasi::look_at(fd, other.as_bytes(), false).is_err() {
        assert!(begun.elapsed() < LONGEST_WAIT, "the other child did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn swap(fd: i32) -> Ends {
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < LONG {
        for link in [&b"away-relative"[..], b"away-absolute"] {
            for (from, to) in
                [(&b"inside"[..], &b"parked"[..]), (link, b"inside"), (b"inside", link), (b"parked", b"inside")]
            {
                // The other child must not be able to keep it from going on.
                wasi::rename(fd, from, fd, to).expect("the folder is writable");
            }
            rounds += 1;
        }
    }
    println!("swapped {rounds}");
    Some(0)
}

fn follow(fd: i32) -> Ends {
    let begun = Instant::now();
    let (mut inside, mut refused, mut reached) = (0, 0, 0);
    while begun.elapsed() < LONG {
        match wasi::open(fd, b"inside/secret.txt", true, 0, wasi::READ) {
            Ok(file) => {
                let mut room = [0; 32];
                let read = wasi::read_at(file, &mut room, 0).unwrap_or(0);
                if &room[..read] == b"inside" {
                    inside += 1;
                } else {
                    reached += 1;
                    println!("REACHED: {:?}", String::from_utf8_lossy(&room[..read]));
                }
                wasi::close(file);
            }
            Err(_) => refused += 1,
        }
        // What these do outside is found by whoever looks there afterwards.
        if let Ok(file) = wasi::open(fd, b"inside/new.txt", true, wasi::CREATE, wasi::WRITE) {
            let _ = wasi::write_at(file, b"escaped", 0);
            wasi::close(file);
        }
        let _ = wasi::make_folder(fd, b"inside/new");
        let _ = wasi::hard_link(fd, b"inside/secret.txt", true, fd, b"mine");
        if let Ok(file) = wasi::open(fd, b"mine", false, 0, wasi::READ) {
            let mut room = [0; 32];
            let read = wasi::read_at(file, &mut room, 0).unwrap_or(0);
            reached += usize::from(&room[..read] != b"inside");
            wasi::close(file);
        }
        let _ = wasi::unlink(fd, b"mine");
        let _ = wasi::unlink(fd, b"inside/victim.txt");
        let _ = wasi::remove_folder(fd, b"inside/empty");
    }
    println!("inside {inside} refused {refused} reached {reached}");
    Some(i32::from(reached > 0))
}
