// SPDX-License-Identifier: Apache-2.0
// The rows of threads_bench as a Go program would have them: goroutines, channels, package sync.
//
//	threads_go -row NAME -min_time SECONDS    prints what Google Benchmark would, as JSON
//	threads_go -list                          the rows that have a counterpart
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A row does n operations, or a few more; the time is per operation.
type row struct {
	name string
	run  func(n int) (operations int, took time.Duration)
}

// What a result may be found wrong by.
var wrong string

func timed(n int, body func()) (int, time.Duration) {
	begin := time.Now()
	body()
	return n, time.Since(begin)
}

// ---- creation ----

func createJoin(n int) (int, time.Duration) {
	return timed(n, func() {
		for i := 0; i < n; i++ {
			var done sync.WaitGroup
			done.Add(1)
			go func() { done.Done() }()
			done.Wait()
		}
	})
}

func createMany(threads int) func(int) (int, time.Duration) {
	return func(n int) (int, time.Duration) {
		rounds := (n + threads - 1) / threads
		return timed(rounds*threads, func() {
			for r := 0; r < rounds; r++ {
				done := make([]sync.WaitGroup, threads)
				for i := range done {
					done[i].Add(1)
					go func(i int) { done[i].Done() }(i)
				}
				for i := range done {
					done[i].Wait()
				}
			}
		})
	}
}

func fib(n int) int64 {
	if n < 2 {
		return int64(n)
	}
	var a int64
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		a = fib(n - 1)
		done.Done()
	}()
	b := fib(n - 2)
	done.Wait()
	return a + b
}

func fibTree(depth int) func(int) (int, time.Duration) {
	number := func(n int) int64 {
		a, b := int64(0), int64(1)
		for ; n > 0; n-- {
			a, b = b, a+b
		}
		return a
	}
	threads := int(number(depth+1) - 1)
	return func(n int) (int, time.Duration) {
		rounds := (n + threads - 1) / threads
		return timed(rounds*threads, func() {
			for r := 0; r < rounds; r++ {
				if fib(depth) != number(depth) {
					wrong = "wrong result"
				}
			}
		})
	}
}

func skynetNode(first, leaves int64) int64 {
	if leaves == 1 {
		return first
	}
	const children = 10
	var sums [children]int64
	var done [children]sync.WaitGroup
	share := leaves / children
	for i := int64(0); i < children; i++ {
		done[i].Add(1)
		go func(i int64) {
			sums[i] = skynetNode(first+i*share, share)
			done[i].Done()
		}(i)
	}
	sum := int64(0)
	for i := range sums {
		done[i].Wait()
		sum += sums[i]
	}
	return sum
}

func skynet(leaves int64) func(int) (int, time.Duration) {
	return func(n int) (int, time.Duration) {
		return timed(n, func() {
			for i := 0; i < n; i++ {
				if skynetNode(0, leaves) != leaves*(leaves-1)/2 {
					wrong = "wrong result"
				}
			}
		})
	}
}

// ---- locks and switches: a crew that starts together ----

// body(me, n): n operations by each of the threads.
func crew(threads, perOp, least int, body func(me, n int)) func(int) (int, time.Duration) {
	return func(n int) (int, time.Duration) {
		each := n * perOp / threads
		if each < least {
			each = least
		}
		var ready, done sync.WaitGroup
		start := make(chan struct{})
		ready.Add(threads)
		done.Add(threads)
		for i := 0; i < threads; i++ {
			go func(me int) {
				ready.Done()
				<-start
				body(me, each)
				done.Done()
			}(i)
		}
		ready.Wait()
		return timed(each*threads/perOp, func() {
			close(start)
			done.Wait()
		})
	}
}

func mutexUncontended() func(int) (int, time.Duration) {
	var lock sync.Mutex
	return crew(1, 1, 10000, func(_, n int) {
		for i := 0; i < n; i++ {
			lock.Lock()
			lock.Unlock()
		}
	})
}

func rwlockUncontended(write bool) func(int) (int, time.Duration) {
	var lock sync.RWMutex
	return crew(1, 1, 10000, func(_, n int) {
		for i := 0; i < n; i++ {
			if write {
				lock.Lock()
				lock.Unlock()
			} else {
				lock.RLock()
				lock.RUnlock()
			}
		}
	})
}

func spin(x uint64, loops int) uint64 {
	for i := 0; i < loops; i++ {
		x *= 0x9E3779B97F4A7C15
	}
	return x
}

var sink uint64

// The fastest of some tries, so that a busy machine does not make the work shorter.
func loopsFor(work time.Duration) int {
	const loops = 100000
	best := time.Hour
	for try := 0; try < 20; try++ {
		begin := time.Now()
		sink += spin(uint64(try), loops)
		if took := time.Since(begin); took < best {
			best = took
		}
	}
	return int(float64(loops) * float64(work) / float64(best))
}

func mutexContended(threads int) func(int) (int, time.Duration) {
	work := loopsFor(100 * time.Nanosecond)
	var lock sync.Mutex
	return crew(threads, 1, 100, func(_, n int) {
		x := uint64(1)
		for i := 0; i < n; i++ {
			lock.Lock()
			x = spin(x, work)
			lock.Unlock()
			x = spin(x, work)
		}
		lock.Lock()
		sink += x
		lock.Unlock()
	})
}

func yield(threads int) func(int) (int, time.Duration) {
	return crew(threads, 1, 100, func(_, n int) {
		for i := 0; i < n; i++ {
			runtime.Gosched()
		}
	})
}

func condPingPong() func(int) (int, time.Duration) {
	var lock sync.Mutex
	turned := [2]*sync.Cond{sync.NewCond(&lock), sync.NewCond(&lock)}
	turn := 0
	return crew(2, 2, 1000, func(me, n int) {
		lock.Lock()
		for i := 0; i < n; i++ {
			for turn != me {
				turned[me].Wait()
			}
			turn = 1 - me
			turned[1-me].Signal()
		}
		lock.Unlock()
	})
}

func semPingPong() func(int) (int, time.Duration) {
	turn := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	turn[0] <- struct{}{}
	return crew(2, 2, 1000, func(me, n int) {
		for i := 0; i < n; i++ {
			<-turn[me]
			turn[1-me] <- struct{}{}
		}
	})
}

// ---- many alive ----

func status(field string) float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field+":" {
			value, _ := strconv.ParseFloat(words[1], 64)
			return value
		}
	}
	return -1
}

var counters = map[string]float64{}

func alive(threads int) func(int) (int, time.Duration) {
	return func(int) (int, time.Duration) {
		var lock sync.Mutex
		arrived, leave := sync.NewCond(&lock), sync.NewCond(&lock)
		waiting, over := 0, false
		var done sync.WaitGroup
		done.Add(threads)
		before := status("VmRSS") + status("VmPTE")
		begin := time.Now()
		for i := 0; i < threads; i++ {
			go func() {
				lock.Lock()
				if waiting++; waiting == threads {
					arrived.Signal()
				}
				for !over {
					leave.Wait()
				}
				lock.Unlock()
				done.Done()
			}()
		}
		lock.Lock()
		for waiting < threads {
			arrived.Wait()
		}
		took := time.Since(begin)
		counters["bytes_per_thread"] = (status("VmRSS") + status("VmPTE") - before) * 1024 / float64(threads)
		counters["kernel_threads"] = status("Threads")
		end := time.Now()
		over = true
		leave.Broadcast()
		lock.Unlock()
		done.Wait()
		counters["wake_join_ns"] = float64(time.Since(end)) / float64(threads)
		return threads, took
	}
}

func rows() []row {
	return []row{
		{"alive/threads:10000/stack_kib:0", alive(10000)},
		{"alive/threads:100000/stack_kib:0", alive(100000)},
		{"alive/threads:1000000/stack_kib:64", alive(1000000)},
		{"create_join", createJoin},
		{"create_many_join/threads:10000", createMany(10000)},
		{"fib/n:20", fibTree(20)},
		{"skynet/leaves:10000", skynet(10000)},
		{"skynet/leaves:1000000", skynet(1000000)},
		{"mutex_uncontended", mutexUncontended()},
		{"rwlock_read_uncontended", rwlockUncontended(false)},
		{"rwlock_write_uncontended", rwlockUncontended(true)},
		{"mutex_contended/threads:2", mutexContended(2)},
		{"mutex_contended/threads:1000", mutexContended(1000)},
		{"yield/threads:2", yield(2)},
		{"yield/threads:1000", yield(1000)},
		{"condvar_pingpong", condPingPong()},
		{"sem_pingpong", semPingPong()},
	}
}

// Nanoseconds of CPU time of this process.
func cpu() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// As many operations as take the least time.
func measure(r row, least time.Duration) map[string]any {
	for n := 1; ; {
		before := cpu()
		operations, took := r.run(n)
		if took >= least || strings.HasPrefix(r.name, "alive") {
			result := map[string]any{
				"name": r.name, "iterations": operations, "time_unit": "ns",
				"real_time": float64(took) / float64(operations),
				"cpu_time":  float64(cpu()-before) / float64(operations),
			}
			for name, value := range counters {
				result[name] = value
			}
			if wrong != "" {
				result["error_occurred"], result["error_message"] = true, wrong
			}
			return result
		}
		n = operations * 2
		if took > 0 {
			if wanted := float64(operations) * 1.2 * float64(least) / float64(took); wanted < float64(10*operations) {
				n = int(wanted) + 1
			} else {
				n = 10 * operations
			}
		}
	}
}

func main() {
	name := flag.String("row", "", "the row to run")
	seconds := flag.Float64("min_time", 0.2, "seconds that it runs at least")
	list := flag.Bool("list", false, "list the rows")
	flag.Parse()
	for _, r := range rows() {
		if *list {
			fmt.Println(r.name)
		} else if r.name == *name {
			result := measure(r, time.Duration(*seconds*1e9))
			json.NewEncoder(os.Stdout).Encode(map[string]any{"benchmarks": []any{result}})
			return
		}
	}
	if !*list {
		fmt.Fprintln(os.Stderr, "threads_go: there is no row", *name)
		os.Exit(2)
	}
}
