// The vocabulary of asynchronous flows: one io_context, one thread, coroutines that read top-down.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace icon {

template <class T>
using Task = boost::asio::awaitable<T>;

using IoContext = boost::asio::io_context;

}  // namespace icon
