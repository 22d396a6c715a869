/* Reads the time of day in every way that the C library has; one line for each line of its input. */
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        struct timespec real, coarse, tai, mono, raw;
        struct timeval day;
        clock_gettime(CLOCK_REALTIME, &real);
        gettimeofday(&day, NULL);
        time_t seconds = time(NULL);
        clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
        clock_gettime(CLOCK_TAI, &tai);
        clock_gettime(CLOCK_MONOTONIC, &mono);
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &raw);
        printf("clock real %ld%09ld day %ld%06ld000 time %ld000000000 coarse %ld%09ld tai %ld%09ld mono %ld%09ld raw %ld%09ld error %d\n",
               (long)real.tv_sec, real.tv_nsec, (long)day.tv_sec, (long)day.tv_usec, (long)seconds, (long)coarse.tv_sec, coarse.tv_nsec,
               (long)tai.tv_sec, tai.tv_nsec, (long)mono.tv_sec, mono.tv_nsec, (long)raw.tv_sec, raw.tv_nsec,
               clock_gettime(99, &real));
        fflush(stdout);
    }
    return 0;
}
