// SPDX-License-Identifier: Apache-2.0
/// Intrusive doubly linked list: insertion cannot fail and allocates nothing.
#pragma once

#include <cstddef>

namespace base {

/// A member of an object that can be on one list. Not on a list: next == nullptr.
struct ListNode {
    ListNode* next = nullptr;
    ListNode* prev = nullptr;
    constexpr ListNode() = default;
    ListNode(const ListNode&) = delete;
    ListNode& operator=(const ListNode&) = delete;
    bool linked() const { return next != nullptr; }
    void unlink() {
        next->prev = prev;
        prev->next = next;
        next = prev = nullptr;
    }
};

/// A list of T linked through the base class ListNode or a member given by pointer.
/// Locks: the caller's. Objects must be unlinked before they die.
template <class T, ListNode T::*Member>
class List {
    ListNode head_;

    static T* owner(ListNode* n) {
        // Distance of the member inside T, computed without an object of T.
        alignas(T) static constexpr char probe[sizeof(T)] = {};
        const auto* base = reinterpret_cast<const T*>(probe);
        const auto off = reinterpret_cast<const char*>(&(base->*Member)) - probe;
        return reinterpret_cast<T*>(reinterpret_cast<char*>(n) - off);
    }
    void insert_between(ListNode* p, ListNode* n, ListNode* e) {
        e->prev = p;
        e->next = n;
        p->next = e;
        n->prev = e;
    }

public:
    List() { head_.next = head_.prev = &head_; }
    List(const List&) = delete;
    List& operator=(const List&) = delete;

    bool empty() const { return head_.next == &head_; }
    void push_back(T& t) { insert_between(head_.prev, &head_, &(t.*Member)); }
    void push_front(T& t) { insert_between(&head_, head_.next, &(t.*Member)); }
    /// Puts `t` in front of `before`, which is on this list.
    void insert_before(T& before, T& t) { insert_between((before.*Member).prev, &(before.*Member), &(t.*Member)); }
    T* front() { return empty() ? nullptr : owner(head_.next); }
    T* pop_front() {
        T* t = front();
        if (t) (t->*Member).unlink();
        return t;
    }
    static void remove(T& t) { (t.*Member).unlink(); }

    class Iterator {
        ListNode* n_;

    public:
        explicit Iterator(ListNode* n) : n_(n) {}
        T& operator*() const { return *owner(n_); }
        T* operator->() const { return owner(n_); }
        Iterator& operator++() {
            n_ = n_->next;
            return *this;
        }
        bool operator!=(const Iterator& o) const { return n_ != o.n_; }
    };
    Iterator begin() { return Iterator(head_.next); }
    Iterator end() { return Iterator(&head_); }
};

}  // namespace base
