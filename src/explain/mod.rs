//! Why does this request go there: the way of the data path, walked by the same functions, with every reason noted.
//!
//! *What enters*: a request as somebody describes it ([`Asked`]), and a snapshot: of a running instance, or one that was
//! made of a file. *What leaves*: an [`Answer`]: which route takes it and why the others do not, which backend would, and
//! of each other one why not. Nothing is claimed, no turn is taken and no cookie is counted: asking changes nothing.
//!
//! In reading order: [`question`] (the request and its listener), [`answer`] (routes and refusals), [`pool`] (who of the
//! pool would be picked, and why each of the others is out).
//!
//! Deliberately absent: what really happened to a request (`proxy::decision`, `telemetry::recent`), text for people (`cli`).

pub mod answer;
pub mod pool;
pub mod question;

pub use answer::{Answer, Occasion};
pub use question::{Asked, Question, QuestionError};
