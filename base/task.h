// The vocabulary of asynchronous flows: one io_context, one thread, coroutines that read top-down.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace icon {

template <class T>
using Task = boost::asio::awaitable<T>;

using IoContext = boost::asio::io_context;

// For co_await: the error comes as the first value of a tuple.
inline constexpr auto kNoThrow = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace icon
