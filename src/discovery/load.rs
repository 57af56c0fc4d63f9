//! All names of a configuration at once, for whoever can wait.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Answers, LookupError, Resolver};
use crate::plan::Dns;
use crate::plan::names::Question;

/// Asks for all names and waits for them until `deadline` from now, all in all. Blocks; may be called within a runtime,
/// for it has a thread and a runtime of its own.
pub fn look_up(questions: Vec<Question>, settings: &Dns, deadline: Duration) -> Answers {
    let mut answers = Answers::new();
    if questions.is_empty() {
        return answers;
    }
    let late = |question: &Question| {
        let error = LookupError::TooLate(deadline.min(settings.timeout));
        (question.clone(), Err(error))
    };
    answers.extend(questions.iter().map(late));
    let until = Instant::now() + deadline;
    let (sender, found) = mpsc::channel();
    let settings = settings.clone();
    let asked = questions.clone();
    let thread = thread::Builder::new().name("names".to_owned());
    let started = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return;
        };
        runtime.block_on(async {
            let _ = tokio::time::timeout(deadline, ask_all(asked, settings, sender)).await;
        });
    });
    if let Err(error) = started {
        let error = LookupError::Failed(format!("no thread: {error}"));
        return questions
            .into_iter()
            .map(|question| (question, Err(error.clone())))
            .collect();
    }
    // Ends when all have answered and the sender is gone.
    while let Ok((question, answer)) =
        found.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        answers.insert(question, answer);
    }
    answers
}

type Sender = mpsc::Sender<(Question, Result<super::Answer, LookupError>)>;

/// Few at once, so that thousands of names do not become thousands of sockets.
async fn ask_all(mut questions: Vec<Question>, settings: Dns, sender: Sender) {
    let resolver = Resolver::new(settings);
    let mut running = JoinSet::new();
    while !questions.is_empty() || !running.is_empty() {
        while running.len() < MOST_AT_ONCE
            && let Some(question) = questions.pop()
        {
            let (resolver, sender) = (resolver.clone(), sender.clone());
            running.spawn(async move {
                let answer = resolver.ask(&question).await;
                let _ = sender.send((question, answer));
            });
        }
        running.join_next().await;
    }
}

/// Enough to hide one slow name behind the others.
const MOST_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Question {
        Question::Host {
            name: name.into(),
            port: 80,
        }
    }

    #[test]
    fn names_of_this_machine_need_no_server() {
        let settings = Dns {
            // Nobody listens there, and nobody is asked.
            servers: vec!["127.0.0.1:9".parse().unwrap()],
            ..Dns::default()
        };
        let answers = look_up(vec![host("localhost")], &settings, Duration::from_secs(60));
        let answer = answers[&host("localhost")].as_ref().unwrap();
        assert_eq!(answer.found.len(), 1);
        assert_eq!(answer.found[0].address, "127.0.0.1:80".parse().unwrap());
    }

    #[test]
    fn a_server_that_is_silent_is_not_waited_for() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let settings = Dns {
            servers: vec![silent.local_addr().unwrap()],
            ..Dns::default()
        };
        let answers = look_up(vec![host("silent.test")], &settings, Duration::ZERO);
        let late = Err(LookupError::TooLate(Duration::ZERO));
        assert_eq!(answers[&host("silent.test")], late);
        assert!(look_up(Vec::new(), &settings, Duration::ZERO).is_empty());
    }

    #[test]
    fn names_that_are_none_are_answered_with_words() {
        let settings = Dns::default();
        let long = host(&"a".repeat(64));
        let answers = look_up(vec![long.clone()], &settings, Duration::from_secs(60));
        assert!(matches!(answers[&long], Err(LookupError::Failed(_))));
    }
}
