# Traffic selectors of which no pair can match a packet.
lab "selectors" {}
network "wan" { prefix = "198.51.100.0/24" }
node "a" {
  interface "wan" { network = network.wan }
  connection "families" {
    remote_addrs = ["198.51.100.9"]
    child "stated" {
      local_ts  = ["10.1.0.0/16"]
      remote_ts = ["2001:db8::/32"] # want: Traffic selectors of different families
    }
    child "dynamic-local" {
      remote_ts = ["2001:db8::/32"] # want: Traffic selectors of different families
    }
    child "dynamic-remote" {
      local_ts = ["2001:db8::/32"] # want: Traffic selectors of different families
    }
    child "one-fits" {
      local_ts  = ["10.1.0.0/16", "2001:db8:1::/48"]
      remote_ts = ["2001:db8::/32"]
    }
  }
  connection "protocols" {
    remote_addrs = ["198.51.100.9"]
    child "tcp-udp" {
      local_ts  = ["10.1.0.0/16[tcp]"]
      remote_ts = ["10.2.0.0/16[udp/53]"] # want: Traffic selectors of different protocols
    }
    child "icmp-udp" {
      local_ts  = ["10.1.0.0/16[icmp]", "10.1.0.0/16[tcp/80]"]
      remote_ts = ["10.2.0.0/16[udp]"] # want: Traffic selectors of different protocols
    }
    child "any-udp" {
      local_ts  = ["10.1.0.0/16"]
      remote_ts = ["10.2.0.0/16[udp/53]"]
    }
    child "crossed" {
      local_ts  = ["10.1.0.0/16[tcp]", "2001:db8:1::/48[udp]"]
      remote_ts = ["10.2.0.0/16[udp]", "2001:db8:2::/48[tcp]"] # want: Traffic selectors of different protocols
    }
  }
}
secret "k" { secret = "x" }
