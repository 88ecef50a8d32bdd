/*
 * Joins two network namespaces by a line with the delay, the speed and the failures that are asked for.
 * It works where the kernel has no netem, and it can do what netem cannot: forget flows as a NAT does.
 *
 *   link-emulator CLIENT_NAMESPACE CLIENT_ADDRESS SERVER_NAMESPACE SERVER_ADDRESS
 *
 * Each namespace gets a TUN device `lnk0` with its address (such as 10.77.0.2/24) and default routes.
 * Commands come on standard input, one a line:
 *
 *   set both|up|down KEY NUMBER   delay (ms, one way), loss (0 to 1), rate (bit/s, 0: unlimited),
 *                                 queue (bytes that wait for the line; more are lost);
 *                                 `up` is from the client to the server
 *   cut SECONDS                   nothing passes for this time
 *   cut-at-upload SECONDS TEXT    as `cut`, from the next packet of the client that holds TEXT
 *   forget-idle SECONDS           flows are forgotten when no packet has come for this time
 *   forget-all                    forgets every flow that there is now, as a NAT that restarts
 *   watch                         tells when the next packets come from the client
 *   stats                         tells what the client has sent so far
 *
 * Packets of a forgotten flow are lost without a word; a SYN begins a new one. Events are written as
 * JSON, one a line: `ready`, `cut`, `restored`, `forgot`, `stats`, and after `watch`, `forget-all` or the
 * end of a cut, `first-payload` with the milliseconds until a packet with payload came from the client.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { UP, DOWN, DIRECTIONS };
enum { MAX_PACKET = 65536, MAX_TEXT = 128, READS_IN_TURN = 64 };

static const double NS_PER_MS = 1e6;
static const double NS_PER_S = 1e9;

struct packet {
  uint64_t due_ns;
  /* Packets that are due at the same time keep their order. */
  uint64_t number;
  int direction;
  int length;
  unsigned char *bytes;
};

struct direction {
  double delay_ms, loss, bits_per_s, queue_bytes;
  /* Until then the line is busy with packets that came before. */
  uint64_t busy_until_ns;
  uint64_t last_due_ns;
};

/* A TCP connection, by the client's port. */
struct flow {
  uint64_t last_ns;
  bool is_seen, is_forgotten;
};

static struct direction directions[DIRECTIONS];
static struct flow flows[65536];
static double forget_idle_s;

static bool is_cut;
static uint64_t restored_at_ns;
static double cut_at_upload_s;
static char cut_at_upload_text[MAX_TEXT];

static bool is_watching;
static uint64_t watched_from_ns;
static uint64_t payload_bytes;

/* The packets on their way: a heap, the one that is due next on top. */
static struct packet *heap;
static size_t heap_length, heap_capacity;
static uint64_t packets;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static bool is_due_before(const struct packet *a, const struct packet *b) {
  return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->number < b->number);
}

static void swap(size_t a, size_t b) {
  struct packet kept = heap[a];
  heap[a] = heap[b];
  heap[b] = kept;
}

static void push(struct packet packet) {
  if (heap_length == heap_capacity) {
    heap_capacity = heap_capacity ? heap_capacity * 2 : 1024;
    heap = realloc(heap, heap_capacity * sizeof *heap);
    if (heap == NULL) fail("realloc");
  }
  size_t at = heap_length++;
  heap[at] = packet;
  while (at > 0 && is_due_before(&heap[at], &heap[(at - 1) / 2])) {
    swap(at, (at - 1) / 2);
    at = (at - 1) / 2;
  }
}

static struct packet pop(void) {
  struct packet top = heap[0];
  heap[0] = heap[--heap_length];
  for (size_t at = 0;;) {
    size_t next = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
      if (child < heap_length && is_due_before(&heap[child], &heap[next])) next = child;
    if (next == at) return top;
    swap(at, next);
    at = next;
  }
}

static void tell(const char *event) {
  printf("{\"event\":\"%s\"}\n", event);
}

static void watch(uint64_t from_ns) {
  is_watching = true;
  watched_from_ns = from_ns;
}

static void cut(double seconds) {
  is_cut = true;
  is_watching = false;
  restored_at_ns = now_ns() + (uint64_t)(seconds * NS_PER_S);
  tell("cut");
}

static void restore(uint64_t now) {
  is_cut = false;
  watch(now);
  tell("restored");
}

static int open_device(const char *namespace, const char *address) {
  char text[400];
  snprintf(text, sizeof text, "/var/run/netns/%s", namespace);
  int handle = open(text, O_RDONLY);
  if (handle < 0 || setns(handle, CLONE_NEWNET)) fail(text);
  close(handle);
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strcpy(request.ifr_name, "lnk0");
  if (device < 0 || ioctl(device, TUNSETIFF, &request)) fail("/dev/net/tun");
  snprintf(text, sizeof text,
           "ip addr add %s dev lnk0 && ip link set lnk0 up txqueuelen 50000 &&"
           " ip route add default dev lnk0 && { ip -6 route add default dev lnk0 2> /dev/null || true; }",
           address);
  if (system(text) != 0) fail("ip");
  return device;
}

struct segment {
  const struct tcphdr *head;
  const unsigned char *payload;
  int length;
};

/* Whether a packet of IPv4 or IPv6 is one of TCP, and what it carries then. */
static bool as_tcp(const unsigned char *bytes, int length, struct segment *segment) {
  int head_bytes;
  if (length >= 40 && bytes[0] >> 4 == 4 && bytes[9] == IPPROTO_TCP) head_bytes = (bytes[0] & 15) * 4;
  else if (length >= 60 && bytes[0] >> 4 == 6 && bytes[6] == IPPROTO_TCP) head_bytes = 40;
  else return false;
  segment->head = (const struct tcphdr *)(bytes + head_bytes);
  head_bytes += segment->head->doff * 4;
  segment->payload = bytes + head_bytes;
  segment->length = length > head_bytes ? length - head_bytes : 0;
  return true;
}

/* Whether the line still knows the flow of a segment. */
static bool is_known(int direction, const struct segment *segment, uint64_t now) {
  const struct tcphdr *head = segment->head;
  struct flow *flow = &flows[ntohs(direction == UP ? head->source : head->dest)];
  if (direction == UP && head->syn) *flow = (struct flow){0};
  else if (flow->is_seen && !flow->is_forgotten && forget_idle_s > 0 &&
           (double)(now - flow->last_ns) > forget_idle_s * NS_PER_S) {
    flow->is_forgotten = true;
    tell("forgot");
  }
  flow->is_seen = true;
  if (!flow->is_forgotten) flow->last_ns = now;
  return !flow->is_forgotten;
}

static void send_later(int direction, const unsigned char *bytes, int length, uint64_t now) {
  struct direction *way = &directions[direction];
  if (way->loss > 0 && drand48() < way->loss) return;
  uint64_t sent_ns = now;
  if (way->bits_per_s > 0) {
    uint64_t starts_ns = way->busy_until_ns > now ? way->busy_until_ns : now;
    double waiting_bytes = (double)(starts_ns - now) * way->bits_per_s / 8 / NS_PER_S;
    if (way->queue_bytes > 0 && waiting_bytes > way->queue_bytes) return;
    sent_ns = starts_ns + (uint64_t)(length * 8 * NS_PER_S / way->bits_per_s);
    way->busy_until_ns = sent_ns;
  }
  uint64_t due_ns = sent_ns + (uint64_t)(way->delay_ms * NS_PER_MS);
  if (due_ns < way->last_due_ns) due_ns = way->last_due_ns;
  way->last_due_ns = due_ns;
  unsigned char *copy = malloc((size_t)length);
  if (copy == NULL) fail("malloc");
  memcpy(copy, bytes, (size_t)length);
  push((struct packet){due_ns, packets++, direction, length, copy});
}

static void take(int direction, const unsigned char *bytes, int length, uint64_t now) {
  struct segment segment = {0};
  bool is_tcp = as_tcp(bytes, length, &segment);
  bool is_payload = direction == UP && segment.length > 0;
  if (is_payload) payload_bytes += (uint64_t)segment.length;
  if (is_tcp && !is_known(direction, &segment, now)) return;
  if (is_payload && cut_at_upload_text[0] != 0 &&
      memmem(segment.payload, (size_t)segment.length, cut_at_upload_text, strlen(cut_at_upload_text))) {
    cut_at_upload_text[0] = 0;
    cut(cut_at_upload_s);
  }
  if (is_cut) return;
  if (is_payload && is_watching) {
    is_watching = false;
    printf("{\"event\":\"first-payload\",\"afterMs\":%.0f}\n", (double)(now - watched_from_ns) / NS_PER_MS);
  }
  send_later(direction, bytes, length, now);
}

static void set(const char *which, const char *key, double number) {
  for (int i = 0; i < DIRECTIONS; i++) {
    if (strcmp(which, i == UP ? "down" : "up") == 0) continue;
    struct direction *way = &directions[i];
    if (strcmp(key, "delay") == 0) way->delay_ms = number;
    else if (strcmp(key, "loss") == 0) way->loss = number;
    else if (strcmp(key, "rate") == 0) way->bits_per_s = number;
    else if (strcmp(key, "queue") == 0) way->queue_bytes = number;
    else fprintf(stderr, "unknown key: %s\n", key);
  }
}

static void obey(const char *command) {
  char which[16], key[16], text[MAX_TEXT];
  double number;
  if (sscanf(command, "set %15s %15s %lf", which, key, &number) == 3) set(which, key, number);
  else if (sscanf(command, "cut %lf", &number) == 1) cut(number);
  else if (sscanf(command, "cut-at-upload %lf %127s", &number, text) == 2) {
    cut_at_upload_s = number;
    strcpy(cut_at_upload_text, text);
  } else if (sscanf(command, "forget-idle %lf", &number) == 1) forget_idle_s = number;
  else if (strcmp(command, "forget-all") == 0) {
    for (int port = 0; port < 65536; port++) flows[port].is_forgotten = flows[port].is_seen;
    watch(now_ns());
  } else if (strcmp(command, "watch") == 0) watch(now_ns());
  else if (strcmp(command, "stats") == 0)
    printf("{\"event\":\"stats\",\"payloadBytes\":%llu}\n", (unsigned long long)payload_bytes);
  else fprintf(stderr, "unknown command: %s\n", command);
}

/* Obeys each whole line that has come; false at the end of standard input. */
static bool read_commands(void) {
  static char line[1024];
  static size_t length;
  ssize_t count = read(STDIN_FILENO, line + length, sizeof line - 1 - length);
  if (count <= 0) return false;
  length += (size_t)count;
  line[length] = 0;
  char *start = line;
  for (char *end; (end = strchr(start, '\n')) != NULL; start = end + 1) {
    *end = 0;
    obey(start);
  }
  length = strlen(start);
  memmove(line, start, length);
  return true;
}

static struct timespec until_next(uint64_t now) {
  uint64_t next = now + (uint64_t)NS_PER_S;
  if (heap_length > 0 && heap[0].due_ns < next) next = heap[0].due_ns;
  if (is_cut && restored_at_ns < next) next = restored_at_ns;
  uint64_t wait = next > now ? next - now : 0;
  return (struct timespec){(time_t)(wait / 1000000000ull), (long)(wait % 1000000000ull)};
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  int devices[DIRECTIONS];
  devices[UP] = open_device(arguments[1], arguments[2]);
  devices[DOWN] = open_device(arguments[3], arguments[4]);
  tell("ready");
  static unsigned char bytes[MAX_PACKET];
  for (;;) {
    uint64_t now = now_ns();
    if (is_cut && now >= restored_at_ns) restore(now);
    while (heap_length > 0 && heap[0].due_ns <= now) {
      struct packet packet = pop();
      /* A packet that the system does not take is lost, as on any line. */
      ssize_t ignored = write(devices[packet.direction == UP ? DOWN : UP], packet.bytes, (size_t)packet.length);
      (void)ignored;
      free(packet.bytes);
    }
    struct timespec wait = until_next(now);
    struct pollfd polled[] = {{devices[UP], POLLIN, 0}, {devices[DOWN], POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    ppoll(polled, 3, &wait, NULL);
    now = now_ns();
    for (int i = 0; i < DIRECTIONS; i++) {
      if (polled[i].revents == 0) continue;
      for (int turn = 0; turn < READS_IN_TURN; turn++) {
        ssize_t length = read(devices[i], bytes, sizeof bytes);
        if (length <= 0) break;
        take(i, bytes, (int)length, now);
      }
    }
    if (polled[2].revents != 0 && !read_commands()) return 0;
  }
}
