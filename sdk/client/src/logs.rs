//! The read half of CloudWatch Logs, a method each.

use wasmbatch_model::logs::{
    DescribeLogGroupsRequest, DescribeLogGroupsResponse, DescribeLogStreamsRequest, DescribeLogStreamsResponse,
    FilterLogEventsRequest, FilterLogEventsResponse, GetLogEventsRequest, GetLogEventsResponse,
};

use crate::error::Error;
use crate::transport::Client;

impl Client {
    /// GetLogEvents, a page.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_log_events(&self, request: &GetLogEventsRequest) -> Result<GetLogEventsResponse, Error> {
        self.logs("GetLogEvents", request).await
    }

    /// FilterLogEvents, a page.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn filter_log_events(&self, request: &FilterLogEventsRequest) -> Result<FilterLogEventsResponse, Error> {
        self.logs("FilterLogEvents", request).await
    }

    /// DescribeLogStreams, a page.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_log_streams(
        &self,
        request: &DescribeLogStreamsRequest,
    ) -> Result<DescribeLogStreamsResponse, Error> {
        self.logs("DescribeLogStreams", request).await
    }

    /// DescribeLogGroups, a page.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_log_groups(
        &self,
        request: &DescribeLogGroupsRequest,
    ) -> Result<DescribeLogGroupsResponse, Error> {
        self.logs("DescribeLogGroups", request).await
    }
}
