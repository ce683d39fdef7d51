//! What runc is told: the specification of one container.
