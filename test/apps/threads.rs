// SPDX-License-Identifier: Apache-2.0
// Rust's own locks, condition variables, channels and parking, which are raw futexes. Prints sums that do not depend on
// the order in which threads run.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::Duration;

const THREADS: usize = 400;

fn counters() {
    let total = Arc::new((Mutex::new(0u64), RwLock::new(0u64)));
    let threads: Vec<_> = (0..THREADS as u64)
        .map(|i| {
            let total = total.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    *total.0.lock().unwrap() += i;
                    if i % 8 == 0 {
                        *total.1.write().unwrap() += 1;
                    } else {
                        let _ = *total.1.read().unwrap();
                    }
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    println!("counters {} {}", total.0.lock().unwrap(), total.1.read().unwrap());
}

fn ring() {
    let (first, mut input) = mpsc::channel::<u32>();
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (output, next) = mpsc::channel();
        let from = std::mem::replace(&mut input, next);
        threads.push(thread::spawn(move || {
            for token in from {
                output.send(token + 1).unwrap();
            }
        }));
    }
    for token in 0..20 {
        first.send(token).unwrap();
        println!("ring {}", input.recv().unwrap());
    }
    drop(first);
    for t in threads {
        t.join().unwrap();
    }
}

fn queue() {
    let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new(), Condvar::new()));
    let consumed = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::new();
    for _ in 0..4 {
        let (s, c) = (shared.clone(), consumed.clone());
        threads.push(thread::spawn(move || {
            for i in 0..2_000usize {
                let mut items = s.0.lock().unwrap();
                while items.len() >= 16 {
                    items = s.2.wait(items).unwrap();
                }
                items.push(i);
                s.1.notify_one();
            }
            drop(c);
        }));
        let (s, c) = (shared.clone(), consumed.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2_000 {
                let mut items = s.0.lock().unwrap();
                while items.is_empty() {
                    items = s.1.wait_timeout(items, Duration::from_millis(50)).unwrap().0;
                }
                c.fetch_add(items.pop().unwrap(), Ordering::Relaxed);
                s.2.notify_one();
            }
        }));
    }
    for t in threads {
        t.join().unwrap();
    }
    println!("queue {}", consumed.load(Ordering::Relaxed));
}

fn parking() {
    static ONCE: Once = Once::new();
    let barrier = Arc::new(Barrier::new(THREADS + 1));
    let woken = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (b, w) = (barrier.clone(), woken.clone());
            thread::spawn(move || {
                ONCE.call_once(|| println!("once"));
                b.wait();
                while w.load(Ordering::Relaxed) == 0 {
                    thread::park();
                }
                w.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    barrier.wait();
    thread::sleep(Duration::from_millis(20));
    woken.store(1, Ordering::Relaxed);
    for t in threads {
        t.thread().unpark();
        t.join().unwrap();
    }
    println!("parking {}", woken.load(Ordering::Relaxed));
}

fn main() {
    counters();
    ring();
    queue();
    parking();
}
