# Three real DHT nodes, where OpenDHT is.
set(dht_LINKS icon_discovery)
set(dht_PROGRAMS icon-dht)
if(NOT TARGET icon-dht)
  list(FILTER tests EXCLUDE REGEX "^dht_")
  message(STATUS "no icon-dht: its tests are left out")
endif()
