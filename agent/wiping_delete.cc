// What the agent gives back to its heap is wiped: a copy of its memory, and the next host, must not
// find the key of a replica that it made, of which JSON and HTTP have made copies of their own.
#include <malloc.h>
#include <string.h>

#include <cstddef>
#include <cstdlib>
#include <new>

// The forms for arrays end in these.
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
