//! What runs in a container: its arguments, environment and working directory.

use super::error::SpecError;
use super::plan::Plan;

/// Where programs are looked for when neither job nor image says it, as Docker does.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Below what execve(2) takes with the usual stack.
const MAX_BYTES: usize = 1 << 20;
/// Where the first process finds itself.
pub(super) const INIT: &str = "/dev/init";

/// The whole argument vector.
pub(super) fn arguments(plan: &Plan<'_>) -> Result<Vec<String>, SpecError> {
    let command = command(plan);
    if command.first().is_none_or(String::is_empty) {
        return Err(SpecError::NoCommand);
    }
    let mut arguments = Vec::with_capacity(command.len().saturating_add(2));
    if plan.init.is_some() {
        arguments.extend([INIT.to_owned(), "--".to_owned()]);
    }
    arguments.extend(command);
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(SpecError::Nul("command"));
    }
    Ok(arguments)
}

/// A job's command stands in place of the image's Cmd, behind its entrypoint; a pod's `command` in
/// place of the entrypoint, and then the image's Cmd means nothing any more.
fn command(plan: &Plan<'_>) -> Vec<String> {
    let image = plan.image;
    let given = plan.arguments.to_vec();
    match (plan.settings.entrypoint, given.is_empty()) {
        (Some(1..), false) => given,
        (_, true) => image.entrypoint.iter().chain(&image.command).cloned().collect(),
        (_, false) => image.entrypoint.iter().cloned().chain(given).collect(),
    }
}

/// The whole environment, each variable once, as `NAME=VALUE`.
pub(super) fn environment(plan: &Plan<'_>) -> Result<Vec<String>, SpecError> {
    let mut variables: Vec<(&str, &str)> = Vec::new();
    let edits = plan.edits.environment.iter();
    for (name, value) in plan.image.environment.iter().chain(plan.environment).chain(edits) {
        if name.is_empty() || name.contains('=') {
            return Err(SpecError::Variable(name.clone()));
        }
        set(&mut variables, name, value);
    }
    let home = plan.user.home.as_deref().unwrap_or("/");
    for (name, value) in [("PATH", PATH), ("HOME", home), ("HOSTNAME", plan.hostname)] {
        if variables.iter().all(|(given, _)| *given != name) {
            variables.push((name, value));
        }
    }
    let variables: Vec<String> = variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    if variables.iter().any(|variable| variable.contains('\0')) {
        return Err(SpecError::Nul("environment"));
    }
    Ok(variables)
}

fn set<'a>(variables: &mut Vec<(&'a str, &'a str)>, name: &'a str, value: &'a str) {
    match variables.iter_mut().find(|(given, _)| *given == name) {
        Some(variable) => variable.1 = value,
        None => variables.push((name, value)),
    }
}

/// Refuses what no execve(2) takes, before anything is made for it.
pub(super) fn check_size(arguments: &[String], environment: &[String]) -> Result<(), SpecError> {
    let bytes = arguments.iter().chain(environment).map(|text| text.len().saturating_add(9)).sum();
    if bytes > MAX_BYTES { Err(SpecError::TooLong { bytes, most: MAX_BYTES }) } else { Ok(()) }
}

/// The image's working directory. It must not be one by which a descriptor of the runtime or a setting
/// of the kernel is reached.
pub(super) fn working_directory(plan: &Plan<'_>) -> Result<String, SpecError> {
    let given = plan.image.working_directory.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Ok("/".to_owned());
    }
    let refused = || SpecError::WorkingDirectory(given.to_owned());
    let parts = parts(given).ok_or_else(refused)?;
    if parts.first().is_some_and(|first| OWN.contains(first)) {
        return Err(refused());
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Folders that belong to the container and not to its image.
pub(super) const OWN: [&str; 3] = ["proc", "sys", "dev"];

/// The names in an absolute path; `None` for one that isn't, or that leads back or has no end.
pub(super) fn parts(path: &str) -> Option<Vec<&str>> {
    const MOST: usize = 4096;
    let inner = path.strip_prefix('/')?;
    if path.len() >= MOST || path.contains('\0') {
        return None;
    }
    let parts: Vec<&str> = inner.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.iter().all(|part| *part != ".." && part.len() <= 255).then_some(parts)
}
