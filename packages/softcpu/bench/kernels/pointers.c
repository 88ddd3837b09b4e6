// Data structures: quick sort, a linked list in random order, a binary search tree, a hash table.
#include "kernel.h"

enum { COUNT = 16384 };

struct node {
  struct node *next, *left, *right;
  uint64_t key;
};

static uint32_t numbers[COUNT];
static struct node nodes[COUNT];
static uint64_t slots[COUNT * 2];

static NOINLINE void sort(uint32_t *from, uint32_t *to) {
  while (to - from > 8) {
    uint32_t pivot = from[(to - from) / 2];
    uint32_t *low = from, *high = to - 1;
    while (low <= high) {
      while (*low < pivot)
        low++;
      while (*high > pivot)
        high--;
      if (low <= high) {
        uint32_t swap = *low;
        *low++ = *high;
        *high-- = swap;
      }
    }
    sort(from, high + 1);
    from = low;
  }
  for (uint32_t *i = from + 1; i < to; i++) {
    uint32_t value = *i, *j = i;
    for (; j > from && j[-1] > value; j--)
      *j = j[-1];
    *j = value;
  }
}

static NOINLINE struct node *insert(struct node *root, struct node *node) {
  struct node **place = &root;
  while (*place)
    place = node->key < (*place)->key ? &(*place)->left : &(*place)->right;
  *place = node;
  return root;
}

static NOINLINE uint64_t walk(const struct node *list) {
  uint64_t sum = 0;
  for (; list; list = list->next)
    sum = sum * 3 + list->key;
  return sum;
}

static NOINLINE int store(uint64_t key) {
  size_t slot = (key * 0x9e3779b97f4a7c15u) >> 49;
  int steps = 0;
  while (slots[slot] && slots[slot] != key) {
    slot = (slot + 1) & (COUNT * 2 - 1);
    steps++;
  }
  slots[slot] = key;
  return steps;
}

uint64_t kernel(void) {
  uint64_t seed = 1181783497276652981u, result = 0;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < COUNT; i++)
      numbers[i] = (uint32_t)next_random(&seed);
    sort(numbers, numbers + COUNT);
    result = result * 7 + numbers[COUNT / 3];
    struct node *root = NULL, *list = NULL;
    for (int i = 0; i < COUNT; i++) {
      struct node *node = &nodes[(i * 7919) & (COUNT - 1)];
      node->key = next_random(&seed) >> 20;
      node->left = node->right = NULL;
      node->next = list;
      list = node;
      root = insert(root, node);
    }
    for (int i = 0; i < 10; i++)
      result += walk(list);
    for (int i = 0; i < COUNT * 2; i++)
      slots[i] = 0;
    for (int i = 0; i < COUNT; i++)
      result += store(nodes[i].key | 1);
  }
  return result;
}
