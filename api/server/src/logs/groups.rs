//! DescribeLogGroups.

use wasmbatch_controller::LogGroupInfo;
use wasmbatch_model::logs::{DescribeLogGroupsRequest, DescribeLogGroupsResponse, LogGroup};

use super::{invalid_token, limit};
use crate::arn::Arns;
use crate::error::ApiError;
use crate::page::{self, Kind};
use crate::state::Call;

/// Most groups of an answer `[API]`, also when no limit is given.
const GROUPS: usize = 50;

pub(crate) async fn describe(
    call: Call,
    request: DescribeLogGroupsRequest,
) -> Result<DescribeLogGroupsResponse, ApiError> {
    let DescribeLogGroupsRequest { log_group_name_prefix, log_group_name_pattern, next_token, limit: given_limit } =
        request;
    let limit = limit(given_limit, GROUPS, GROUPS)?;
    if log_group_name_prefix.is_some() && log_group_name_pattern.is_some() {
        return Err(ApiError::invalid_parameter("logGroupNamePrefix and logGroupNamePattern exclude each other"));
    }
    let after = match next_token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(page::decode(Kind::LogGroups, &token).map_err(|_| invalid_token())?),
    };
    let prefix = log_group_name_prefix.unwrap_or_default();
    let pattern = log_group_name_pattern.unwrap_or_default();
    call.read_logs(move |logs, arns| {
        let mut groups = logs.groups()?;
        groups.retain(|group| {
            let behind = after.as_ref().is_none_or(|after| group.name > *after);
            behind && group.name.starts_with(&prefix) && group.name.contains(&pattern)
        });
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        let more = groups.len() > limit;
        groups.truncate(limit);
        let next_token = groups.last().filter(|_| more).map(|last| page::encode(Kind::LogGroups, &last.name));
        let log_groups = groups.into_iter().map(|group| from_info(group, arns)).collect();
        Ok(DescribeLogGroupsResponse { log_groups, next_token })
    })
    .await
}

fn from_info(info: LogGroupInfo, arns: &Arns) -> LogGroup {
    let LogGroupInfo { name, created_at } = info;
    let arn = arns.log_group(&name);
    LogGroup {
        log_group_name: name,
        creation_time: created_at.as_millis(),
        metric_filter_count: 0,
        arn: format!("{arn}:*"),
        log_group_arn: arn,
        log_group_class: "STANDARD".to_owned(),
    }
}
