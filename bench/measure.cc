// measure REPORT COMMAND...   runs a command and writes what it took to the file REPORT:
// nanoseconds of wall time, microseconds of user and of system time, peak resident size in KiB.
//
// The command counts with every descendant, also those that nobody waited for, and nobody else; the peak is that of the
// largest of them. A program of its own, because a process starts with its parent's peak on its account: started by
// Node, nothing would seem to need less than Node.
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long microseconds(const timeval& time) { return time.tv_sec * 1000000LL + time.tv_usec; }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const pid_t self = getpid();
  // Descendants that the command leaves behind become children of this process.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const long long start = nanoseconds();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == self) execvp(argv[2], argv + 2);
    perror(argv[2]);
    _exit(127);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    perror("measure");
    return 2;
  }
  const long long end = nanoseconds();
  while (wait(nullptr) > 0) continue;
  rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  FILE* report = fopen(argv[1], "w");
  if (!report) {
    perror(argv[1]);
    return 2;
  }
  fprintf(report, "%lld %lld %lld %ld\n", end - start, microseconds(usage.ru_utime), microseconds(usage.ru_stime),
          usage.ru_maxrss);
  if (fclose(report) != 0) return 2;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
