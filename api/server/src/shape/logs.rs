//! Shapes of CloudWatch Logs.

use super::Shape::{self, Object, OneOf};
use super::{BOOLEAN, INTEGER, LONG, TEXT, TEXTS, may, must};

pub(crate) static GET_LOG_EVENTS: Shape = Object(&[
    may("logGroupName", &TEXT),
    may("logGroupIdentifier", &TEXT),
    must("logStreamName", &TEXT),
    may("startTime", &LONG),
    may("endTime", &LONG),
    may("nextToken", &TEXT),
    may("limit", &INTEGER),
    may("startFromHead", &BOOLEAN),
    may("unmask", &BOOLEAN),
]);

pub(crate) static DESCRIBE_LOG_STREAMS: Shape = Object(&[
    may("logGroupName", &TEXT),
    may("logGroupIdentifier", &TEXT),
    may("logStreamNamePrefix", &TEXT),
    may("orderBy", &OneOf(&["LogStreamName", "LastEventTime"])),
    may("descending", &BOOLEAN),
    may("nextToken", &TEXT),
    may("limit", &INTEGER),
]);

pub(crate) static DESCRIBE_LOG_GROUPS: Shape = Object(&[
    may("accountIdentifiers", &TEXTS),
    may("logGroupNamePrefix", &TEXT),
    may("logGroupNamePattern", &TEXT),
    may("nextToken", &TEXT),
    may("limit", &INTEGER),
    may("includeLinkedAccounts", &BOOLEAN),
    may("logGroupClass", &OneOf(&["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"])),
    may("logGroupIdentifiers", &TEXTS),
]);

pub(crate) static FILTER_LOG_EVENTS: Shape = Object(&[
    may("logGroupName", &TEXT),
    may("logGroupIdentifier", &TEXT),
    may("logStreamNames", &TEXTS),
    may("logStreamNamePrefix", &TEXT),
    may("startTime", &LONG),
    may("endTime", &LONG),
    may("filterPattern", &TEXT),
    may("nextToken", &TEXT),
    may("limit", &INTEGER),
    may("startFromHead", &BOOLEAN),
    may("interleaved", &BOOLEAN),
    may("unmask", &BOOLEAN),
]);
