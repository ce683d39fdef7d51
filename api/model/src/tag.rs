//! Tags of a resource.

use crate::TextMap;

wire! {
    /// TagResource; the ARN stands in the path.
    TagResourceRequest {
        optional { tags: TextMap }
    }
}

wire! {
    /// The answer of ListTagsForResource.
    ListTagsForResourceResponse {
        required { tags: TextMap }
    }
}

wire! {
    /// The answer of an operation that has nothing to say.
    Empty {}
}
