//! What can go wrong with a call.

/// A call has no answer, or one that says no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node refused the call or failed at it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The node could not be reached, or the connection broke.
    #[error("the node could not be reached")]
    Transport(#[source] reqwest::Error),
    /// The node's answer is not what its kind should be.
    #[error("the node's answer could not be understood")]
    Answer(#[source] serde_json::Error),
    /// The node's answer is larger than any should be.
    #[error("the node's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The endpoint is no `http://` address.
    #[error("{0} is not an http:// address")]
    Endpoint(String),
}

/// The node's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `ClientException` and its like.
    pub code: String,
    /// For people.
    pub message: String,
    /// What the node's log knows the call by.
    pub request_id: Option<String>,
}

impl Error {
    /// The node's own words, where it had some.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            Self::Transport(_) | Self::Answer(_) | Self::TooLarge(_) | Self::Endpoint(_) => None,
        }
    }
}
