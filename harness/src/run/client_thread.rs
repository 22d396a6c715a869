//! The thread that all clients share, with a runtime of its own.
//!
//! A recorded interval ends when its client runs again after the reply came in. On a shared runtime that waits for whatever the nemesis, the
//! logs or a probe are doing there; and with two workers, one wakes the other first. One thread is enough: it records more than a million
//! operations per second (`harness/benches/recorder.rs`), and no store under test answers a tenth of that on one machine.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs clients until it is dropped; what still runs then is cancelled.
///
/// Sockets belong to the network namespace of the thread that makes them, and a thread to the namespace of the one that started it: start
/// it from within the clients' namespace.
pub struct ClientThread {
    clients: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ClientThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no more threads or descriptors.
    pub fn start() -> io::Result<ClientThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let clients = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("clients".into()).spawn(move || {
            // Ends when it is told to, and when there is nobody left who could.
            let _ = runtime.block_on(ended);
        })?;
        Ok(ClientThread {
            clients,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Runs `client` there; its handle can be awaited from any runtime.
    pub fn spawn<T: Send + 'static>(&self, client: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.clients.spawn(client)
    }
}

impl Drop for ClientThread {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A client that panicked has told so to whoever awaits its handle.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ClientThread;

    #[test]
    fn runs_clients_on_a_thread_of_their_own() {
        let clients = ClientThread::start().expect("a thread can be started");
        let name = clients.spawn(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::current().name().map(str::to_owned)
        });
        let awaiting = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime can be built");
        assert_eq!(awaiting.block_on(name).expect("it does not panic").as_deref(), Some("clients"));
    }

    #[test]
    fn cancels_what_still_runs_when_it_ends() {
        let clients = ClientThread::start().expect("a thread can be started");
        let endless = clients.spawn(std::future::pending::<()>());
        drop(clients);
        let awaiting = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime can be built");
        assert!(awaiting.block_on(endless).expect_err("it never ends").is_cancelled());
    }
}
