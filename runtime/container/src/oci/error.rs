//! Why a container can't be described.

/// What keeps a job's container from being run as asked; fit for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing to run.
    #[error("the image has no command and the job gives none")]
    NoCommand,
    /// A text that no system call takes.
    #[error("the {0} contains a NUL character")]
    Nul(&'static str),
    /// Program, arguments and environment are more than fits.
    #[error("the arguments and the environment take {bytes} bytes, {most} is the most")]
    TooLong {
        /// Of all, each with its end.
        bytes: usize,
        /// Bound.
        most: usize,
    },
    /// A variable that no environment can hold.
    #[error("{0:?} is no name of an environment variable")]
    Variable(String),
    /// A working directory that leads elsewhere.
    #[error(
        "the image's working directory {0:?} is not allowed: it has to be absolute, without .., and not below /proc, /sys or /dev"
    )]
    WorkingDirectory(String),
    /// A user that the container doesn't have.
    #[error("user {uid}:{gid} does not exist in the container: it has the users and groups 0 to {last}")]
    NoSuchUser {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// The greatest.
        last: u32,
    },
    /// A container that must not be root would be.
    #[error("runAsNonRoot is set and the container would run as user 0")]
    Root,
    /// A resource limit with a name that isn't known.
    #[error("unknown ulimit {0:?}")]
    Ulimit(String),
    /// A resource limit that allows more than it allows to be raised to.
    #[error("ulimit {name:?} has a soft limit of {soft}, above its hard limit of {hard}")]
    UlimitOrder {
        /// Its name.
        name: String,
        /// What would hold.
        soft: u64,
        /// Its bound.
        hard: u64,
    },
    /// Something mounted where the container's own things are.
    #[error(
        "nothing can be mounted at {0:?}: a container path has to be absolute, without .., and neither / nor below /proc, /sys or /dev"
    )]
    Destination(String),
    /// Two things in one place.
    #[error("two mounts have the container path {0:?}")]
    Twice(String),
    /// A mount option that isn't allowed.
    #[error("tmpfs at {path:?}: option {option:?} is not allowed")]
    TmpfsOption {
        /// Where.
        path: String,
        /// Which.
        option: String,
    },
    /// A tmpfs without room.
    #[error("tmpfs at {0:?} has no size")]
    TmpfsSize(String),
    /// A device that can't be had.
    #[error("device {path:?}: {reason}")]
    Device {
        /// On the host.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A signal that isn't known.
    #[error("unknown stop signal {0:?}")]
    Signal(String),
    /// Not the user's fault: the caller gave something that can't be.
    #[error("the container can't be described: {0}")]
    Internal(&'static str),
}
