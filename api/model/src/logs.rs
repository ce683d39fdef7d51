//! The read half of CloudWatch Logs.

wire! {
    /// GetLogEvents.
    GetLogEventsRequest {
        optional {
            log_group_name: String,
            log_group_identifier: String,
            log_stream_name: String,
            start_time: i64,
            end_time: i64,
            next_token: String,
            limit: i32,
            start_from_head: bool,
        }
    }
}

wire! {
    /// The answer of GetLogEvents.
    GetLogEventsResponse {
        required {
            events: Vec<OutputLogEvent>,
            next_forward_token: String,
            next_backward_token: String,
        }
    }
}

wire! {
    /// One line of a log.
    OutputLogEvent {
        required {
            timestamp: i64,
            message: String,
            ingestion_time: i64,
        }
    }
}

wire! {
    /// DescribeLogStreams.
    DescribeLogStreamsRequest {
        optional {
            log_group_name: String,
            log_group_identifier: String,
            log_stream_name_prefix: String,
            order_by: String,
            descending: bool,
            next_token: String,
            limit: i32,
        }
    }
}

wire! {
    /// The answer of DescribeLogStreams.
    DescribeLogStreamsResponse {
        required { log_streams: Vec<LogStream> }
        optional { next_token: String }
    }
}

wire! {
    /// A log stream.
    LogStream {
        required {
            log_stream_name: String,
            creation_time: i64,
            arn: String,
            stored_bytes: u64,
        }
        optional {
            first_event_timestamp: i64,
            last_event_timestamp: i64,
            last_ingestion_time: i64,
        }
    }
}

wire! {
    /// DescribeLogGroups.
    DescribeLogGroupsRequest {
        optional {
            log_group_name_prefix: String,
            log_group_name_pattern: String,
            next_token: String,
            limit: i32,
        }
    }
}

wire! {
    /// The answer of DescribeLogGroups.
    DescribeLogGroupsResponse {
        required { log_groups: Vec<LogGroup> }
        optional { next_token: String }
    }
}

wire! {
    /// A log group.
    LogGroup {
        required {
            log_group_name: String,
            creation_time: i64,
            metric_filter_count: i32,
            arn: String,
            log_group_arn: String,
            log_group_class: String,
        }
    }
}

wire! {
    /// FilterLogEvents.
    FilterLogEventsRequest {
        optional {
            log_group_name: String,
            log_group_identifier: String,
            log_stream_names: Vec<String>,
            log_stream_name_prefix: String,
            start_time: i64,
            end_time: i64,
            filter_pattern: String,
            next_token: String,
            limit: i32,
            start_from_head: bool,
            interleaved: bool,
        }
    }
}

wire! {
    /// The answer of FilterLogEvents.
    FilterLogEventsResponse {
        required {
            events: Vec<FilteredLogEvent>,
            searched_log_streams: Vec<SearchedLogStream>,
        }
        optional { next_token: String }
    }
}

wire! {
    /// One line that FilterLogEvents found.
    FilteredLogEvent {
        required {
            log_stream_name: String,
            timestamp: i64,
            message: String,
            ingestion_time: i64,
            event_id: String,
        }
    }
}

wire! {
    /// Deprecated member of FilterLogEvents' answer, always empty.
    SearchedLogStream {
        required {
            log_stream_name: String,
            searched_completely: bool,
        }
    }
}
