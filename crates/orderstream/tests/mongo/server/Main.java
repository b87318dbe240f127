import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.net.InetSocketAddress;
import java.util.List;
import org.h2.mvstore.MVStore;

/**
 * A server that speaks MongoDB's wire protocol and keeps its data in a file: `Main FILE PORT`. Prints
 * the port that it bound, and ends when its standard input does, so that it never outlives a test.
 */
public final class Main {
    /** As a mongod that syncs its log now and then: a kill may cost the newest writes, never older. */
    private static final long COMMIT_MS = 20;

    public static void main(String[] args) throws Exception {
        MVStore store = new MVStore.Builder().fileName(args[0]).autoCommitDisabled().open();
        H2Backend backend = new H2Backend(store);
        backend.version(new Version());
        MongoServer server = new MongoServer(backend);
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1])));
        Thread committer = new Thread(() -> commit(backend));
        committer.setDaemon(true);
        committer.start();
        System.out.println(server.getLocalAddress().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // Nothing is said on it; its end is the word to stop.
        }
        server.shutdown();
    }

    /** The oldest that the driver speaks to; the server's own newest is one below. */
    private static final class Version implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    private static void commit(H2Backend backend) {
        try {
            while (true) {
                backend.commit();
                Thread.sleep(COMMIT_MS);
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }
}
