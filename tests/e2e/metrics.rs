//! What is counted, under the names that dashboards know.
