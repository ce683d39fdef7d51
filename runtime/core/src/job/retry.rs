//! retryStrategy and evaluateOnExit.

/// `retryStrategy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryStrategy {
    /// 1 to 10.
    pub attempts: u32,
    /// Up to 5, in order.
    pub rules: Vec<ExitRule>,
}

/// One entry of `evaluateOnExit`; all its conditions must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitRule {
    /// Against `container.reason`.
    pub on_reason: Option<String>,
    /// Against `statusReason`.
    pub on_status_reason: Option<String>,
    /// Against the decimal exit code.
    pub on_exit_code: Option<String>,
    /// What to do on a match.
    pub action: ExitAction,
}

/// What a matching rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitAction {
    /// RETRY.
    Retry,
    /// EXIT.
    Exit,
}

/// What is known of a failed attempt when its rules are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) exit_code: Option<u8>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) status_reason: &'a str,
}

impl RetryStrategy {
    /// The action of the first rule that matches; `None` when no rule does, which Batch takes as
    /// a retry.
    pub(crate) fn action_for(&self, failure: Failure<'_>) -> Option<ExitAction> {
        self.rules.iter().find(|rule| rule.matches(failure)).map(|rule| rule.action)
    }
}

impl ExitRule {
    fn matches(&self, failure: Failure<'_>) -> bool {
        let given = |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|p| glob(p, text));
        // An attempt without an exit code (host lost, never started) matches no exit code at all,
        // whereas `*` matches an absent reason: it is the usual catch-all as the last rule.
        let exit_code = match (&self.on_exit_code, failure.exit_code) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(pattern), Some(code)) => glob(pattern, &code.to_string()),
        };
        exit_code
            && given(&self.on_reason, failure.reason.unwrap_or_default())
            && given(&self.on_status_reason, failure.status_reason)
    }
}

/// Exact, or by prefix where the pattern ends in `*`.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        exit_code: Option<&str>,
        reason: Option<&str>,
        status_reason: Option<&str>,
        action: ExitAction,
    ) -> ExitRule {
        let text = |t: Option<&str>| t.map(str::to_owned);
        ExitRule {
            on_exit_code: text(exit_code),
            on_reason: text(reason),
            on_status_reason: text(status_reason),
            action,
        }
    }

    #[test]
    fn the_usual_spot_configuration_retries_lost_hosts_alone() {
        let strategy = RetryStrategy {
            attempts: 5,
            rules: vec![
                rule(None, None, Some("Host EC2*"), ExitAction::Retry),
                rule(None, Some("*"), None, ExitAction::Exit),
            ],
        };
        let lost = Failure { exit_code: None, reason: None, status_reason: "Host EC2 (instance i-1) terminated." };
        let failed = Failure { exit_code: Some(1), reason: None, status_reason: "Essential container in task exited" };
        assert_eq!(strategy.action_for(lost), Some(ExitAction::Retry));
        assert_eq!(strategy.action_for(failed), Some(ExitAction::Exit));
    }

    #[test]
    fn all_conditions_of_a_rule_must_match_and_the_first_rule_wins() {
        let strategy = RetryStrategy {
            attempts: 2,
            rules: vec![
                rule(Some("13*"), Some("Wasm*"), None, ExitAction::Exit),
                rule(Some("137"), None, None, ExitAction::Retry),
            ],
        };
        let failure = |code, reason| Failure { exit_code: Some(code), reason, status_reason: "x" };
        assert_eq!(strategy.action_for(failure(134, Some("WasmTrap: y"))), Some(ExitAction::Exit));
        assert_eq!(strategy.action_for(failure(137, None)), Some(ExitAction::Retry));
        assert_eq!(strategy.action_for(failure(13, Some("z"))), None);
    }
}
