//! Tests of the whole: `tidy.rs` holds the structure to the plan, `compat/` drives the real binary
//! with the real AWS CLI and boto3, `bench/` measures. This library is empty.
