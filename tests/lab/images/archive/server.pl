# Answers HTTP on 8080 and accepts connections on the archive's other ports.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';
my $version = $ENV{ARCHIVE_VERSION};
my %http;
my $select = IO::Select->new;
for my $port ($ENV{HTTP_PORT} || 8080, 8443, 9990, 9993, 11112, 2762, 2575, 12575) {
    my $socket = IO::Socket::INET->new(LocalPort => $port, Listen => 16, ReuseAddr => 1) or die "port $port: $!\n";
    $http{$socket} = $port == ($ENV{HTTP_PORT} || 8080);
    $select->add($socket);
}
while (1) {
    for my $server ($select->can_read) {
        my $client = $server->accept or next;
        if ($http{$server}) {
            eval {
                local $SIG{ALRM} = sub { die };
                alarm 2;
                my $line = <$client> // '';
                while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
                my ($path) = $line =~ m{^\w+ (\S+)};
                my ($status, $type, $body) = ('404 Not Found', 'text/plain', "not found\n");
                if (($path // '') =~ m{^/dcm4chee-arc/ui2}) {
                    ($status, $type, $body) = ('200 OK', 'text/html', "<title>dcm4chee-arc $version</title>\n");
                } elsif (($path // '') eq '/dcm4chee-arc/version') {
                    ($status, $type, $body) = ('200 OK', 'application/json', qq({"version":"$version"}\n));
                }
                print $client "HTTP/1.1 $status\r\nContent-Type: $type\r\nContent-Length: ", length $body,
                    "\r\nConnection: close\r\n\r\n$body";
            };
            alarm 0;
        }
        close $client;
    }
}
