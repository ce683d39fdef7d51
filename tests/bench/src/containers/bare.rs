//! The container runtime alone: what a container can't cost less than here.

use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::archive::Made;

/// A root folder of busybox, and the specification that a shim wrote for a container of the same image.
#[derive(Debug)]
pub(crate) struct Bare {
    runtime: PathBuf,
    home: PathBuf,
    specification: Value,
}

impl Bare {
    /// `specification` is taken over but for where the root folder is, what is run and what the cgroup is called.
    pub(crate) fn new(runtime: &Path, home: &Path, image: &Made, mut specification: Value) -> Result<Self> {
        // The container's first process is nobody to the host.
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o711))?;
        let root = home.join("root");
        tar::Archive::new(&*image.layer).unpack(&root)?;
        let owner = specification.pointer("/linux/uidMappings/0/hostID").and_then(Value::as_u64);
        own(&root, u32::try_from(owner.context("the specification has no range of users")?)?)?;
        *specification.pointer_mut("/root/path").context("no root")? = root.display().to_string().into();
        *specification.pointer_mut("/process/args").context("no arguments")? = vec!["true".to_owned()].into();
        Ok(Self { runtime: runtime.to_owned(), home: home.to_owned(), specification })
    }

    /// Runs one after the other, so many of them; how long each took. Others may run at the same time
    /// under other names.
    pub(crate) fn run(&self, name: &str, count: u32) -> Result<Vec<Duration>> {
        let bundle = self.home.join(name);
        std::fs::create_dir(&bundle)?;
        let mut specification = self.specification.clone();
        if let Some(group) = specification.pointer_mut("/linux/cgroupsPath") {
            let above = Path::new(group.as_str().context("no path")?).parent().context("no folder")?.to_owned();
            *group = above.join(format!("bench-{name}")).display().to_string().into();
        }
        std::fs::write(bundle.join("config.json"), serde_json::to_vec(&specification)?)?;
        let times = (0..count).map(|number| self.once(&bundle, &format!("{name}-{number}"))).collect();
        std::fs::remove_dir_all(&bundle)?;
        times
    }

    #[expect(clippy::disallowed_methods, reason = "the plain runtime is what is measured")]
    fn once(&self, bundle: &Path, name: &str) -> Result<Duration> {
        let begun = Instant::now();
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.home.join("state")).arg("run").arg("--bundle").arg(bundle).arg(name);
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        ensure!(ended.status.success(), "the bare runtime: {}", String::from_utf8_lossy(&ended.stderr));
        Ok(begun.elapsed())
    }

    /// Containers per second, two at a time.
    pub(crate) fn rate(&self, name: &str, count: u32) -> Result<f64> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let half = |number: u32| self.run(&format!("{name}-{number}"), count / 2);
            let other = scope.spawn(move || half(1));
            half(0)?;
            other.join().expect("it doesn't panic")
        })?;
        Ok(f64::from(count / 2 * 2) / begun.elapsed().as_secs_f64())
    }
}

fn own(path: &Path, owner: u32) -> Result<()> {
    lchown(path, Some(owner), Some(owner))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            own(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// Time of starting `/bin/true` and waiting for its end.
#[expect(clippy::disallowed_methods, reason = "a plain process is what is measured")]
pub(crate) fn process() -> Result<Duration> {
    let begun = Instant::now();
    ensure!(Command::new("/bin/true").status()?.success());
    Ok(begun.elapsed())
}
