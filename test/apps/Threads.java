// SPDX-License-Identifier: Apache-2.0
// Java's platform threads: a ring that hands a token on, a pool, monitors. Prints an exact result.

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.SynchronousQueue;

public final class Threads {
  private static final int RING = 200;
  private static final int ROUNDS = 10;
  private static final int JOBS = 2000;

  private static int monitored;

  private static int ring() throws InterruptedException {
    List<SynchronousQueue<Integer>> doors = new ArrayList<>();
    for (int i = 0; i < RING; i++) doors.add(new SynchronousQueue<>());
    for (int i = 1; i < RING; i++) {
      SynchronousQueue<Integer> in = doors.get(i);
      SynchronousQueue<Integer> out = doors.get((i + 1) % RING);
      new Thread(() -> {
        try {
          for (int round = 0; round < ROUNDS; round++) out.put(in.take() + 1);
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }).start();
    }
    int token = 0;
    for (int round = 0; round < ROUNDS; round++) {
      doors.get(1).put(token + 1);
      token = doors.get(0).take();
    }
    return token;
  }

  private static long pool() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(64);
    List<Future<Long>> results = new ArrayList<>();
    for (int i = 0; i < JOBS; i++) {
      long seed = i;
      results.add(pool.submit(() -> {
        long x = seed;
        for (int step = 0; step < 1000; step++) x = x * 6364136223846793005L + 1442695040888963407L;
        return x;
      }));
    }
    long sum = 0;
    for (Future<Long> result : results) sum += result.get();
    pool.shutdown();
    return sum;
  }

  private static int monitors() throws InterruptedException {
    Object lock = new Object();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 100; i++) {
      Thread thread = new Thread(() -> {
        for (int step = 0; step < 1000; step++) {
          synchronized (lock) {
            monitored++;
          }
        }
      });
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) thread.join();
    return monitored;
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("ring " + ring());
    System.out.println("pool " + pool());
    System.out.println("monitors " + monitors());
  }
}
