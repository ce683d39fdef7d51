//! The first process of containers whose jobs ask for one: forwards signals, waits for orphans. Its source is
//! `init/init.rs` of this crate; it is static, for images of which nothing is known.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The program. To be called as `init -- PROGRAM ARGUMENTS`, as process 1.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

const NAME: &str = "init";

/// Puts the program into a folder, where it is to be mounted into containers from, and says where it is.
/// One that is there already is replaced; who runs it keeps it.
///
/// # Errors
/// It can't be written.
pub fn install(folder: &Path) -> io::Result<PathBuf> {
    let (path, new) = (folder.join(NAME), folder.join(format!("{NAME}.new")));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&new)?;
    file.write_all(PROGRAM)?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o555))?;
    drop(file);
    fs::rename(&new, &path)?;
    Ok(path)
}
