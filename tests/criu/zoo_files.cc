// Files, devices, locks and mounts.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "tests/criu/zoo.h"

namespace icon::zoo {
namespace {

int make_file(const char* path, int bytes) {
  const int fd = must(open(path, O_RDWR | O_CREAT, 0600), path);
  const std::string chunk(1 << 16, 'z');
  for (int done = 0; done < bytes; done += static_cast<int>(chunk.size()))
    must(static_cast<int>(write(fd, chunk.data(), chunk.size())), "write");
  return fd;
}

void deleted(int bytes, bool mapped) {
  const int fd = make_file("/tmp/gone", bytes);
  if (mapped) {
    void* memory = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) give_up("mmap");
    close(fd);
  }
  must(unlink("/tmp/gone"), "unlink");
}

// The file lives on under another name.
void renamed_link() {
  make_file("/tmp/first", 1);
  must(link("/tmp/first", "/tmp/second"), "link");
  must(unlink("/tmp/first"), "unlink");
}

int device(const char* path, unsigned major, unsigned minor, mode_t kind = S_IFCHR) {
  must(mknod(path, kind | 0600, makedev(major, minor)), "mknod");
  return must(open(path, O_RDONLY | O_NONBLOCK), path);
}

void locked(int command, short type, int bytes) {
  const int fd = make_file("/tmp/locked", bytes);
  struct flock range {};
  range.l_type = type;
  must(fcntl(fd, command, &range), "lock");
}

void pseudo_terminal(bool keep_master) {
  const int master = must(posix_openpt(O_RDWR | O_NOCTTY), "ptmx");
  must(grantpt(master), "grantpt");
  must(unlockpt(master), "unlockpt");
  must(open(ptsname(master), O_RDWR | O_NOCTTY), "pts");
  if (!keep_master) close(master);
}

void own_mount(bool detached) {
  must(mkdir("/tmp/mounted", 0700), "mkdir");
  must(mount("zoo", "/tmp/mounted", "tmpfs", 0, nullptr), "mount");
  make_file("/tmp/mounted/file", 1);
  if (detached) must(umount2("/tmp/mounted", MNT_DETACH), "umount");
}

void lone_directory() {
  must(mkdir("/tmp/lone", 0700), "mkdir");
  must(chdir("/tmp/lone"), "chdir");
  must(rmdir("/tmp/lone"), "rmdir");
}

void watch(const char* path) {
  must(inotify_add_watch(must(inotify_init(), "inotify"), path, IN_CREATE), "watch");
}

void tun_interface() {
  close(device("/tmp/tun", 10, 200));
  const int writer = must(open("/tmp/tun", O_RDWR), "tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strcpy(request.ifr_name, "zoo0");
  must(ioctl(writer, TUNSETIFF, &request), "TUNSETIFF");
}

void reader(const char* path) { must(open(path, O_RDONLY | O_NONBLOCK), path); }

}  // namespace

Animals files() {
  return {
      {"file", [] { make_file("/tmp/file", 1 << 16); }},
      {"deleted_small", [] { deleted(1 << 16, false); }},
      {"deleted_medium", [] { deleted(8 << 20, false); }},
      {"deleted_large", [] { deleted(65 << 20, false); }},
      {"deleted_mapped_small", [] { deleted(1 << 16, true); }},
      {"deleted_mapped_medium", [] { deleted(8 << 20, true); }},
      {"deleted_mapped_large", [] { deleted(65 << 20, true); }},
      {"deleted_other_name", renamed_link},
      {"deleted_directory", lone_directory},
      {"fifo",
       [] {
         must(mkfifo("/tmp/fifo", 0600), "mkfifo");
         must(open("/tmp/fifo", O_RDWR), "open");
       }},
      {"lock_posix", [] { locked(F_SETLK, F_WRLCK, 1); }},
      {"lock_open_file", [] { locked(F_OFD_SETLK, F_WRLCK, 1); }},
      {"lock_flock", [] { must(flock(make_file("/tmp/locked", 1), LOCK_EX), "flock"); }},
      {"lease_write",
       [] { must(fcntl(make_file("/tmp/leased", 1), F_SETLEASE, F_WRLCK), "lease"); }},
      {"lease_read",
       [] {
         close(make_file("/tmp/leased", 1));
         const int fd = must(open("/tmp/leased", O_RDONLY), "open");
         must(fcntl(fd, F_SETLEASE, F_RDLCK), "lease");
       }},
      {"device_null", [] { reader("/dev/null"); }},
      {"device_zero", [] { reader("/dev/zero"); }},
      {"device_random", [] { reader("/dev/urandom"); }},
      {"device_full", [] { reader("/dev/full"); }},
      {"device_kmsg", [] { device("/tmp/kmsg", 1, 11); }},
      {"device_fuse", [] { device("/tmp/fuse", 10, 229); }},
      {"device_tun", [] { device("/tmp/tun", 10, 200); }},
      {"device_mapped",
       [] {
         const int fd = device("/tmp/loop", 7, 0, S_IFBLK);
         if (mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED) give_up("mmap");
         close(fd);
       }},
      {"device_loop", [] { device("/tmp/loop", 7, 0, S_IFBLK); }},
      {"device_zero_shared",
       [] {
         const int fd = must(open("/dev/zero", O_RDWR), "open");
         if (mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
           give_up("mmap");
       }},
      {"terminal_pair", [] { pseudo_terminal(true); }},
      {"terminal_alone", [] { pseudo_terminal(false); }},
      {"proc_file", [] { reader("/proc/self/stat"); }},
      {"proc_memory", [] { reader("/proc/self/mem"); }},
      {"sys_file", [] { reader("/sys/kernel/mm/transparent_hugepage/enabled"); }},
      {"namespace_own", [] { reader("/proc/self/ns/net"); }},
      {"own_mount", [] { own_mount(false); }},
      {"tun_interface", tun_interface},
      {"watch_memory", [] { watch("/dev/shm"); }},
      {"watch_proc", [] { watch("/proc/self/stat"); }},
      {"watch_etc",
       [] {
         close(make_file("/etc/zoo", 1));
         watch("/etc/zoo");
       }},
      {"watch_layer", [] { watch("/tmp"); }},
      {"detached_mount", [] { own_mount(true); }},
  };
}

}  // namespace icon::zoo
