//! Users and groups that this host sets aside for an ordinary user, in `/etc/subuid` and `/etc/subgid`,
//! and the two programs of the host that may map them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, getgid, getuid};

/// Most bytes of one of the files.
const MOST_FILE: u64 = 1024 * 1024;
/// Where the programs are looked for.
const FOLDERS: [&str; 2] = ["/usr/bin", "/bin"];
/// A container knows no more.
const MOST_USERS: u32 = 65_535;

/// The first of them and how many there are: users, groups. `None` where there are none or nobody to
/// map them.
pub(crate) fn find() -> Option<((u32, u32), (u32, u32))> {
    program("newuidmap")?;
    program("newgidmap")?;
    let number = getuid().as_raw().to_string();
    let passwd = read("/etc/passwd")?;
    let name = name_of(&passwd, &number).unwrap_or(&number).to_owned();
    let of = |file| largest(&read(file)?, &name, &number);
    Some((of("/etc/subuid")?, of("/etc/subgid")?))
}

fn program(name: &str) -> Option<std::path::PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

fn read(file: &str) -> Option<String> {
    let length = fs::metadata(file).ok()?.len();
    if length > MOST_FILE { None } else { fs::read_to_string(file).ok() }
}

fn name_of<'p>(passwd: &'p str, number: &str) -> Option<&'p str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    })
}

/// The largest range of a user, known by name or number.
fn largest(text: &str, name: &str, number: &str) -> Option<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        let fits = (owner == name || owner == number) && count > 0 && first.checked_add(count).is_some();
        fits.then_some((first, count.min(MOST_USERS)))
    });
    ranges.max_by_key(|(_, count)| *count)
}

/// Maps this process's own user as 0 and the others behind it, for a child that waits.
pub(crate) fn write_maps(child: Pid, users: (u32, u32), groups: (u32, u32)) -> io::Result<()> {
    map("newuidmap", child, getuid().as_raw(), users)?;
    map("newgidmap", child, getgid().as_raw(), groups)
}

#[expect(clippy::disallowed_methods, reason = "a program of the host that has the right to map these users")]
fn map(name: &str, child: Pid, own: u32, (first, count): (u32, u32)) -> io::Result<()> {
    let program = program(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let child = child.as_raw_nonzero().get();
    let numbers = [i64::from(child), 0, i64::from(own), 1, 1, i64::from(first), i64::from(count)];
    let output = Command::new(program).args(numbers.map(|number| number.to_string())).env_clear().output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{name}: {}", said.lines().next().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_range_of_a_user_is_taken() {
        let text = "root:1:2\nann:100000:65536\nann:300000:1000\n1000:500000:70000\nbad:x:1\nann:4294967295:9\n";
        assert_eq!(largest(text, "ann", "1000"), Some((500_000, 65_535)));
        assert_eq!(largest(text, "bob", "1001"), None);
        assert_eq!(name_of("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\n", "1000"), Some("ann"));
    }
}
