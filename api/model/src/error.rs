//! How an error looks.

wire! {
    /// The body of an error. Its type stands in the header `x-amzn-ErrorType` (Batch) or in
    /// `__type` (CloudWatch Logs).
    ErrorBody {
        required {
            /// What went wrong, for people.
            message: String,
        }
        optional {
            /// The type of the error in AWS JSON 1.1.
            #[serde(rename = "__type")]
            kind: String,
        }
    }
}
